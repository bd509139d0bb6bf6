#!/usr/bin/env escript
%% Terms as a real Erlang writes and reads them, each beside its JSON.
%%
%%   terms.escript write COUNT SEED FILE   random terms: records of a term and of its JSON
%%   terms.escript read FILE FILE          records of terms become records of their JSON
%%
%% A record is a length, u32 little-endian, and so many bytes.

-mode(compile).

main(["write", Count, Seed, File]) ->
    rand:seed(exsss, list_to_integer(Seed)),
    Records = [pair(Number) || Number <- lists:seq(1, list_to_integer(Count))],
    ok = file:write_file(File, Records);
main(["read", In, Out]) ->
    {ok, Bytes} = file:read_file(In),
    ok = file:write_file(Out, [record(json(binary_to_term(Term, [safe]))) || Term <- records(Bytes)]).

pair(Number) ->
    Term = term(4),
    Options = case Number rem 5 of
        0 -> [{minor_version, 0}];
        1 -> [{minor_version, 1}];
        2 -> [{minor_version, 2}];
        3 -> [compressed];
        4 -> [{minor_version, 2}, {compressed, 9}]
    end,
    [record(term_to_binary(Term, Options)), record(json(Term))].

record(Data) ->
    Bytes = iolist_to_binary(Data),
    [<<(byte_size(Bytes)):32/little>>, Bytes].

records(<<Length:32/little, Bytes:Length/binary, Rest/binary>>) -> [Bytes | records(Rest)];
records(<<>>) -> [].

term(0) -> leaf(rand:uniform(9));
term(Depth) ->
    case rand:uniform(14) of
        1 -> [term(Depth - 1) || _ <- lists:seq(1, rand:uniform(5))];
        2 -> list_to_tuple([term(Depth - 1) || _ <- lists:seq(1, rand:uniform(5))]);
        3 -> map(Depth);
        4 -> map(Depth);
        5 -> list_to_tuple([leaf(rand:uniform(9)) || _ <- lists:seq(1, 250 + rand:uniform(20))]);
        Other -> leaf(Other - 5)
    end.

leaf(1) -> lists:nth(rand:uniform(4), [nil, true, false, null]);
leaf(2) -> lists:nth(rand:uniform(5), ['READY', normal, '', 'with space', 'caf\x{e9}']);
leaf(3) -> rand:uniform(256) - 1;
leaf(4) -> (rand:uniform(1 bsl rand:uniform(64)) - 1);
leaf(5) -> -(rand:uniform(1 bsl rand:uniform(63)));
leaf(6) -> (rand:uniform() - 0.5) * math:pow(10, rand:uniform(60) - 30);
leaf(7) -> unicode:characters_to_binary([character() || _ <- lists:seq(1, rand:uniform(20))]);
leaf(8) -> [rand:uniform(256) - 1 || _ <- lists:seq(1, rand:uniform(300))];
leaf(9) -> lists:nth(rand:uniform(4), [[], <<>>, {}, #{}]).

character() -> lists:nth(rand:uniform(6), [rand:uniform(127), 0, $", $\\, 16#e9, 16#1f600]).

map(Depth) ->
    maps:from_list([{key(Number), term(Depth - 1)} || Number <- lists:seq(1, rand:uniform(6))]).

%% Different as text too.
key(Number) ->
    case rand:uniform(3) of
        1 -> list_to_atom("key_" ++ integer_to_list(Number));
        2 -> list_to_binary(["key ", integer_to_list(Number)]);
        3 -> Number * (rand:uniform(1 bsl 60))
    end.

json(nil) -> <<"null">>;
json(null) -> <<"null">>;
json(true) -> <<"true">>;
json(false) -> <<"false">>;
json(Atom) when is_atom(Atom) -> text(atom_to_list(Atom));
json(Number) when is_integer(Number) -> integer_to_list(Number);
json(Number) when is_float(Number) -> io_lib:format("~w", [Number]);
json(Binary) when is_binary(Binary) -> text(unicode:characters_to_list(Binary));
json(List) when is_list(List) -> [$[, lists:join($,, [json(Element) || Element <- List]), $]];
json(Tuple) when is_tuple(Tuple) -> json(tuple_to_list(Tuple));
json(Map) when is_map(Map) ->
    Entries = [[key_text(Key), $:, json(Value)] || {Key, Value} <- maps:to_list(Map)],
    [${, lists:join($,, Entries), $}].

key_text(Key) when is_integer(Key) -> text(integer_to_list(Key));
key_text(Key) -> json(Key).

text(Characters) -> [$", [escape(Character) || Character <- Characters], $"].

escape(Character) when Character < 32; Character =:= $"; Character =:= $\\ ->
    io_lib:format("\\u~4.16.0b", [Character]);
escape(Character) -> unicode:characters_to_binary([Character]).
