//! The data model of serde in JSON and ETF: each row is a test.

use gateway_codec::{Encoding, ErrorKind, Raw, decode, encode, etf, json};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::IpAddr;

const ENCODINGS: [Encoding; 2] = [Encoding::Json, Encoding::Etf];

/// `value` survives writing and reading, with both engines and in both styles, and is `document` in JSON.
fn supported<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T, document: serde_json::Value) {
    for encoding in ENCODINGS {
        let bytes = encode(&value, encoding).unwrap_or_else(|error| panic!("{encoding}: {error}"));
        let back: T = decode(&bytes, encoding).unwrap_or_else(|error| panic!("{encoding}: {error}"));
        assert_eq!(back, value, "{encoding}");
        // A model written for JSON reads the same document in ETF.
        let bytes = encode(&document, encoding).unwrap();
        let back: T = decode(&bytes, encoding).unwrap_or_else(|error| panic!("{encoding} document: {error}"));
        assert_eq!(back, value, "{encoding} document");
    }
    let server = etf::to_vec_with(&value, etf::Style::Server).unwrap();
    assert_eq!(etf::from_slice::<T>(&server).unwrap(), value, "server's style");
    assert_eq!(serde_json::to_value(&value).unwrap(), document);
    #[cfg(feature = "simd-json")]
    {
        let mut bytes = json::to_vec(&value).unwrap();
        assert_eq!(json::from_mut_slice::<T>(&mut bytes, json::Engine::Simd).unwrap(), value, "simd-json");
    }
}

/// `document` as Discord sends it reads as `value` in both encodings: it has ids as text; in ETF they are integers.
fn received<T: DeserializeOwned + PartialEq + Debug>(value: T, document: serde_json::Value) {
    let json = json::to_vec(&document).unwrap();
    let etf = etf::to_vec_with(&document, etf::Style::Server).unwrap();
    for (bytes, encoding) in [(json, Encoding::Json), (etf, Encoding::Etf)] {
        let whole: T = decode(&bytes, encoding).unwrap_or_else(|error| panic!("{encoding}: {error}"));
        assert_eq!(whole, value, "{encoding}");
        let raw = Raw::new(bytes, encoding);
        assert_eq!(raw.decode::<T>().unwrap(), value, "{encoding} raw");
        let tree = raw.value().unwrap();
        assert_eq!(tree, document, "{encoding} value");
        assert_eq!(serde_json::from_value::<T>(tree).unwrap(), value, "{encoding} by way of a value");
        #[cfg(feature = "simd-json")]
        assert_eq!(
            serde_json::to_value(raw.simd_value(&mut Vec::new()).unwrap()).unwrap(),
            document,
            "{encoding} simd_value"
        );
    }
}

/// `document` does not fit `T` in either encoding, with the same error.
fn refused<T: DeserializeOwned + Debug>(document: serde_json::Value) {
    for encoding in ENCODINGS {
        let bytes = encode(&document, encoding).unwrap();
        let error = decode::<T>(&bytes, encoding).unwrap_err();
        let kinds = [ErrorKind::Mismatch, ErrorKind::Malformed];
        assert!(kinds.contains(&error.kind()), "{encoding}: {error:?}");
    }
}

macro_rules! table {
    ($($row:ident: $value:expr => $document:tt;)+) => {$(
        #[test]
        fn $row() {
            supported($value, json!($document));
        }
    )+};
}

macro_rules! received {
    ($($row:ident: $value:expr => $document:tt;)+) => {$(
        #[test]
        fn $row() {
            received($value, json!($document));
        }
    )+};
}

macro_rules! refusals {
    ($($row:ident: $type:ty => $document:tt;)+) => {$(
        #[test]
        fn $row() {
            refused::<$type>(json!($document));
        }
    )+};
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct Named {
    id: String,
    count: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Unit;

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Newtype(u64);

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Tuple(u8, String);

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(rename_all = "snake_case")]
enum External {
    Unit,
    Newtype(u64),
    Tuple(u8, u8),
    Struct { a: i8 },
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(tag = "type")]
enum Internal {
    Unit,
    Struct { a: i64 },
    Newtype(Named),
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    Unit,
    Newtype(String),
    Tuple(u8, u8),
    Struct { a: bool },
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(untagged)]
enum Untagged {
    Number(i64),
    Float(f64),
    Flag(bool),
    List(Vec<u8>),
    Named(Named),
    Text(String),
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Flattened {
    before: u8,
    #[serde(flatten)]
    named: Named,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(transparent)]
struct Transparent {
    inner: Vec<Option<i16>>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Bytes(#[serde(with = "serde_bytes")] Vec<u8>);

#[derive(Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[serde(rename_all = "lowercase")]
enum Key {
    Desktop,
    Mobile,
}

fn named() -> Named {
    Named { id: "81384788765712384".to_owned(), count: 7, note: None }
}

fn map<K: Ord, V, const N: usize>(entries: [(K, V); N]) -> BTreeMap<K, V> {
    BTreeMap::from(entries)
}

table! {
    boolean: true => true;
    unsigned_8: u8::MAX => 255;
    unsigned_16: u16::MAX => 65535;
    unsigned_32: u32::MAX => 4294967295_u32;
    unsigned_64: u64::MAX => 18446744073709551615_u64;
    signed_8: i8::MIN => (-128);
    signed_16: i16::MIN => (-32768);
    signed_32: i32::MIN => (-2147483648_i32);
    signed_64: i64::MIN => (-9223372036854775808_i64);
    wide_type_small_number: u128::from(u64::MAX) => 18446744073709551615_u64;
    wide_signed_type_small_number: i128::from(i64::MIN) => (-9223372036854775808_i64);
    double: -0.1_f64 => (-0.1);
    double_that_is_whole: 3.0_f64 => 3.0;
    single: 2.5_f32 => 2.5;
    character: 'é' => "é";
    text: "a\0é\u{1f600}\"\\\n".to_owned() => "a\0é\u{1f600}\"\\\n";
    text_empty: String::new() => "";
    text_by_cow: Cow::<'static, str>::Owned("x".to_owned()) => "x";
    none: None::<u8> => null;
    some: Some(5_u8) => 5;
    option_of_text: vec![Some("nil".to_owned()), None] => ["nil", null];
    unit: () => null;
    unit_struct: Unit => null;
    newtype_struct: Newtype(1 << 60) => 1152921504606846976_u64;
    tuple: (1_u8, "a".to_owned(), false) => [1, "a", false];
    tuple_struct: Tuple(255, "b".to_owned()) => [255, "b"];
    array: [1_u8, 2, 3] => [1, 2, 3];
    list: vec![1_u64, 300, u64::MAX] => [1, 300, 18446744073709551615_u64];
    list_of_small_integers: vec![0_u32, 255] => [0, 255];
    list_of_small_options: vec![Some(1_u8), Some(0)] => [1, 0];
    list_of_small_newtypes: vec![Newtype(0), Newtype(255)] => [0, 255];
    list_empty: Vec::<String>::new() => [];
    list_of_lists: vec![vec![1_i8], vec![], vec![-1, 2]] => [[1], [], [-1, 2]];
    structure: named() => {"id": "81384788765712384", "count": 7};
    structure_with_note: Named { note: Some("n".to_owned()), ..named() }
        => {"id": "81384788765712384", "count": 7, "note": "n"};
    transparent: Transparent { inner: vec![Some(1), None] } => [1, null];
    map_with_text_keys: map([("é".to_owned(), 1_u8), (String::new(), 2)]) => {"": 2, "é": 1};
    map_with_integer_keys: map([(0_u8, 'a'), (255, 'b')]) => {"0": "a", "255": "b"};
    map_with_wide_keys: map([(u64::MAX, 1_u8)]) => {"18446744073709551615": 1};
    map_with_signed_keys: map([(-7_i64, 1_u8), (7, 2)]) => {"-7": 1, "7": 2};
    map_with_enum_keys: map([(Key::Desktop, "idle".to_owned()), (Key::Mobile, "dnd".to_owned())])
        => {"desktop": "idle", "mobile": "dnd"};
    map_with_newtype_keys: map([(NewtypeKey(5), 1_u8)]) => {"5": 1};
    map_with_character_keys: map([('x', 1_u8)]) => {"x": 1};
    enum_external_unit: External::Unit => "unit";
    enum_external_newtype: External::Newtype(300) => {"newtype": 300};
    enum_external_tuple: External::Tuple(1, 2) => {"tuple": [1, 2]};
    enum_external_struct: External::Struct { a: -1 } => {"struct": {"a": -1}};
    enum_internal_unit: Internal::Unit => {"type": "Unit"};
    enum_internal_struct: Internal::Struct { a: i64::MIN } => {"type": "Struct", "a": (-9223372036854775808_i64)};
    enum_internal_newtype: Internal::Newtype(named()) => {"type": "Newtype", "id": "81384788765712384", "count": 7};
    enum_adjacent_unit: Adjacent::Unit => {"t": "Unit"};
    enum_adjacent_newtype: Adjacent::Newtype("x".to_owned()) => {"t": "Newtype", "c": "x"};
    enum_adjacent_tuple: Adjacent::Tuple(0, 255) => {"t": "Tuple", "c": [0, 255]};
    enum_adjacent_struct: Adjacent::Struct { a: true } => {"t": "Struct", "c": {"a": true}};
    enum_untagged_number: Untagged::Number(-5) => (-5);
    enum_untagged_float: Untagged::Float(0.5) => 0.5;
    enum_untagged_flag: Untagged::Flag(true) => true;
    enum_untagged_list: Untagged::List(vec![0, 1]) => [0, 1];
    enum_untagged_struct: Untagged::Named(named()) => {"id": "81384788765712384", "count": 7};
    enum_untagged_text: Untagged::Text("7".to_owned()) => "7";
    flatten: Flattened {
        before: 1,
        named: named(),
        rest: map([("more".to_owned(), json!([1, {"x": null}]))]),
    } => {"before": 1, "id": "81384788765712384", "count": 7, "more": [1, {"x": null}]};
    human_readable: "127.0.0.1".parse::<IpAddr>().unwrap() => "127.0.0.1";
    any_value: json!({"a": [1, null, -2.5, "x", {"": 1_u64 << 53}]})
        => {"a": [1, null, (-2.5), "x", {"": 9007199254740992_u64}]};
}

#[derive(Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct NewtypeKey(u16);

const ID: &str = "81384788765712384";
const ROLE: &str = "1574465550518669358";

/// An id as models read it, from text or from an integer.
#[derive(PartialEq, Debug)]
struct Id(u64);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;
        impl serde::de::Visitor<'_> for IdVisitor {
            type Value = Id;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an id")
            }

            fn visit_u64<E: serde::de::Error>(self, id: u64) -> Result<Id, E> {
                Ok(Id(id))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Id, E> {
                text.parse().map(Id).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(IdVisitor)
    }
}

#[derive(Deserialize, PartialEq, Debug)]
struct Member {
    nick: Option<String>,
    #[serde(flatten)]
    user: User,
    roles: Vec<String>,
}

#[derive(Deserialize, PartialEq, Debug)]
struct User {
    id: String,
    #[serde(default)]
    bot: bool,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Component {
    Select { custom_id: String, channel_ids: Vec<Id> },
    User(User),
    Row { components: Vec<Component> },
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(tag = "kind", content = "data")]
enum Change {
    User(User),
    Guild { guild_id: String, owner_id: Id },
    Roles(Vec<User>),
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(untagged)]
enum Guild {
    Whole { id: String, member_count: u32, owner_id: Id },
    Unavailable { id: String },
    Id(String),
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(untagged)]
enum NumberFirst {
    Number(u64),
    Text(String),
}

#[derive(Deserialize, PartialEq, Debug)]
struct Everything {
    guild_id: String,
    #[serde(flatten)]
    event: Event,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(tag = "event")]
enum Event {
    Joined {
        user: User,
        #[serde(flatten)]
        guild: Guild,
    },
}

fn user() -> User {
    User { id: ID.to_owned(), bot: false }
}

received! {
    received_flatten: Member { nick: None, user: user(), roles: vec![ROLE.to_owned(), ID.to_owned()] }
        => {"nick": null, "id": ID, "bot": false, "roles": [ROLE, ID]};
    received_internally_tagged: Component::User(User { bot: true, ..user() })
        => {"type": "user", "id": ID, "bot": true};
    received_internally_tagged_struct:
        Component::Select { custom_id: "x".to_owned(), channel_ids: vec![Id(81384788765712384)] }
        => {"type": "select", "custom_id": "x", "channel_ids": [ID]};
    received_internally_tagged_within_itself:
        Component::Row { components: vec![Component::User(user()), Component::Row { components: vec![] }] }
        => {"components": [{"id": ID, "type": "user"}, {"components": [], "type": "row"}], "type": "row"};
    received_adjacently_tagged: Change::User(user()) => {"kind": "User", "data": {"id": ID}};
    received_adjacently_tagged_content_first: Change::User(user()) => {"data": {"id": ID}, "kind": "User"};
    received_adjacently_tagged_struct:
        Change::Guild { guild_id: ID.to_owned(), owner_id: Id(1574465550518669358) }
        => {"data": {"guild_id": ID, "owner_id": ROLE}, "kind": "Guild"};
    received_adjacently_tagged_list: Change::Roles(vec![user()]) => {"data": [{"id": ID}], "kind": "Roles"};
    received_untagged_struct:
        Guild::Whole { id: ID.to_owned(), member_count: 300, owner_id: Id(1574465550518669358) }
        => {"id": ID, "member_count": 300, "owner_id": ROLE};
    received_untagged_smaller_struct: Guild::Unavailable { id: ID.to_owned() } => {"id": ID, "unavailable": true};
    received_untagged_list: map([("guild_ids".to_owned(), vec![Guild::Id(ID.to_owned())])]) => {"guild_ids": [ID]};
    received_untagged_number_or_text:
        map([("id".to_owned(), NumberFirst::Text(ID.to_owned())), ("n".to_owned(), NumberFirst::Number(1 << 53))])
        => {"id": ID, "n": 9007199254740992_u64};
    received_everything_at_once: Everything {
        guild_id: ROLE.to_owned(),
        event: Event::Joined { user: user(), guild: Guild::Unavailable { id: ID.to_owned() } },
        rest: map([
            ("event".to_owned(), json!("Joined")),
            ("id".to_owned(), json!(ID)),
            ("user".to_owned(), json!({"id": ID})),
            ("flags".to_owned(), json!(7)),
        ]),
    } => {"event": "Joined", "guild_id": ROLE, "id": ID, "user": {"id": ID}, "flags": 7};
    received_as_a_value: json!({"id": ID, "d": [{"role_ids": [ROLE]}]}) => {"id": ID, "d": [{"role_ids": [ROLE]}]};
    received_plain: User { bot: true, ..user() } => {"id": ID, "bot": true};
}

refusals! {
    refuses_an_integer_too_wide_for_its_type: u8 => 256;
    refuses_a_negative_for_unsigned: u64 => (-1);
    refuses_text_for_a_number: u64 => "1";
    refuses_a_fraction_for_an_integer: i64 => 1.5;
    refuses_a_boolean_for_text: String => true;
    refuses_null_for_text: String => null;
    refuses_a_map_for_a_list: Vec<u8> => {"a": 1};
    refuses_a_list_too_long: (u8, u8) => [1, 2, 3];
    refuses_a_list_too_long_of_large_numbers: [i64; 1] => [1, 300];
    refuses_a_list_too_short: [u8; 3] => [1, 2];
    refuses_a_missing_field: Named => {"id": "1"};
    refuses_an_unknown_variant: External => "other";
    refuses_a_variant_map_of_two: External => {"newtype": 1, "unit": null};
    refuses_a_key_that_is_no_number: BTreeMap<u8, u8> => {"x": 1};
    refuses_two_characters_for_one: char => "ab";
    refuses_what_fits_no_variant: Untagged => null;
    refuses_text_for_unit: () => "nil";
}

#[test]
fn integers_are_read_into_floats() {
    for encoding in ENCODINGS {
        let bytes = encode(&json!([1, -2]), encoding).unwrap();
        assert_eq!(decode::<Vec<f64>>(&bytes, encoding).unwrap(), [1.0, -2.0], "{encoding}");
    }
}

/// simd-json has no boolean keys, unlike serde_json.
#[test]
fn map_with_boolean_keys() {
    let value = map([(true, 1_u8), (false, 0)]);
    for encoding in ENCODINGS {
        let bytes = encode(&value, encoding).unwrap();
        assert_eq!(decode::<BTreeMap<bool, u8>>(&bytes, encoding).unwrap(), value, "{encoding}");
    }
}

#[test]
fn wide_integers_read_back() {
    for number in [u128::MAX, 1 << 64] {
        for encoding in ENCODINGS {
            let bytes = encode(&number, encoding).unwrap();
            assert_eq!(decode::<u128>(&bytes, encoding).unwrap(), number);
            assert!(decode::<u64>(&bytes, encoding).is_err(), "{encoding}");
            // Without a type: a double in JSON, text in ETF.
            let value: serde_json::Value = decode(&bytes, encoding).unwrap();
            match encoding {
                Encoding::Json => assert_eq!(value.as_f64(), Some(number as f64)),
                Encoding::Etf => assert_eq!(value, json!(number.to_string())),
            }
        }
    }
    let bytes = encode(&i128::MIN, Encoding::Etf).unwrap();
    assert_eq!(decode::<i128>(&bytes, Encoding::Etf).unwrap(), i128::MIN);
}

#[test]
fn bytes_are_a_list_in_json_and_a_binary_in_etf() {
    for content in [vec![], vec![0, 159, 255], b"text".to_vec()] {
        let value = Bytes(content);
        for encoding in ENCODINGS {
            let bytes = encode(&value, encoding).unwrap();
            assert_eq!(decode::<Bytes>(&bytes, encoding).unwrap(), value, "{encoding}");
            let list = encode(&value.0, encoding).unwrap();
            assert_eq!(decode::<Bytes>(&list, encoding).unwrap(), value, "{encoding} list");
        }
        let small_integers = etf::to_vec_with(&value.0, etf::Style::Server).unwrap();
        assert_eq!(etf::from_slice::<Bytes>(&small_integers).unwrap(), value);
    }
}

#[test]
fn text_and_bytes_are_borrowed_where_they_stand() {
    #[derive(Deserialize)]
    struct Borrowed<'a> {
        text: &'a str,
        #[serde(borrow)]
        cow: Cow<'a, str>,
    }
    for encoding in ENCODINGS {
        let bytes = encode(&json!({"text": "abc", "cow": "def"}), encoding).unwrap();
        let borrowed: Borrowed<'_> = decode(&bytes, encoding).unwrap();
        assert!(bytes.as_ptr_range().contains(&borrowed.text.as_ptr()), "{encoding}");
        assert!(matches!(borrowed.cow, Cow::Borrowed("def")), "{encoding}");
    }
    let bytes = etf::to_vec(serde_bytes::Bytes::new(b"\xff\x00")).unwrap();
    assert_eq!(etf::from_slice::<&[u8]>(&bytes).unwrap(), b"\xff\x00");
}

/// A type that reads an integer gets one, buffered or not. Text does not fit it, as in JSON.
#[test]
fn ids_are_text_or_integers() {
    #[derive(Deserialize, PartialEq, Debug)]
    struct Inner {
        id: u64,
    }
    #[derive(Deserialize, PartialEq, Debug)]
    struct Outer {
        #[serde(flatten)]
        inner: Inner,
        ratio: f64,
    }
    let document = json!({"id": 81384788765712384_u64, "ratio": u64::MAX});
    let expected = Outer { inner: Inner { id: 81384788765712384 }, ratio: u64::MAX as f64 };
    for encoding in ENCODINGS {
        let bytes = encode(&document, encoding).unwrap();
        assert_eq!(decode::<Outer>(&bytes, encoding).unwrap(), expected, "{encoding}");
        assert_eq!(Raw::new(bytes, encoding).decode::<Outer>().unwrap(), expected, "{encoding}");
    }
    let text = encode(&json!({"id": ID, "ratio": 1}), Encoding::Json).unwrap();
    assert_eq!(decode::<Outer>(&text, Encoding::Json).unwrap_err().kind(), ErrorKind::Mismatch);
}

/// In a buffered document all wide integers are text or all are integers. A type that needs both gets an error.
#[test]
fn ids_are_not_text_and_integers_at_once() {
    #[derive(Deserialize, Debug)]
    #[serde(tag = "type")]
    enum Both {
        #[serde(rename = "x")]
        _X {
            #[serde(rename = "id")]
            _id: String,
            #[serde(rename = "count")]
            _count: u64,
        },
    }
    let bytes = etf::to_vec(&json!({"type": "x", "id": 81384788765712384_u64, "count": u64::MAX})).unwrap();
    let error = etf::from_slice::<Both>(&bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    assert_eq!(error.to_string(), "invalid type, expected u64");
}

#[test]
fn ids_stay_integers_on_request() {
    let bytes = etf::to_vec(&json!({"id": 81384788765712384_u64, "count": 7})).unwrap();
    let mut options = etf::Options::default();
    options.wide_integers_as_text = false;
    let value: serde_json::Value = etf::from_slice_with(&bytes, &options).unwrap();
    assert_eq!(value, json!({"id": 81384788765712384_u64, "count": 7}));
    assert!(etf::from_slice_with::<Untagged>(&bytes, &options).is_err());
    assert_eq!(etf::from_slice::<Untagged>(&bytes).unwrap(), Untagged::Named(named()));
    assert_eq!(etf::from_slice_with::<Named>(&bytes, &options).unwrap(), named());
}

#[test]
fn whole_floats_are_integers_where_a_type_says_so() {
    let bytes = etf::to_vec(&875069521787904.0_f64).unwrap();
    assert_eq!(etf::from_slice::<u64>(&bytes).unwrap(), 875069521787904);
    for number in [0.5, 1e300, -1.0] {
        let bytes = etf::to_vec(&number).unwrap();
        assert_eq!(etf::from_slice::<u64>(&bytes).unwrap_err().kind(), ErrorKind::Mismatch);
    }
}

#[test]
fn floats_that_are_not_finite_are_null() {
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for encoding in ENCODINGS {
            let bytes = encode(&number, encoding).unwrap();
            assert_eq!(decode::<Option<f64>>(&bytes, encoding).unwrap(), None);
        }
    }
}

#[test]
fn keys_that_are_not_text_are_refused() {
    for encoding in ENCODINGS {
        let list_key = BTreeMap::from([(vec![1_u8], 1_u8)]);
        assert_eq!(encode(&list_key, encoding).unwrap_err().kind(), ErrorKind::Unsupported);
        let null_key = BTreeMap::from([((), 1_u8)]);
        assert_eq!(encode(&null_key, encoding).unwrap_err().kind(), ErrorKind::Unsupported);
    }
}

#[test]
fn of_duplicate_keys_a_map_keeps_the_last_and_a_struct_refuses() {
    let json = br#"{"id":"a","id":"b","count":1}"#.to_vec();
    let etf = b"\x83t\0\0\0\x03s\x02idm\0\0\0\x01as\x02idm\0\0\0\x01bs\x05counta\x01".to_vec();
    for (bytes, encoding) in [(json, Encoding::Json), (etf, Encoding::Etf)] {
        let value: serde_json::Value = decode(&bytes, encoding).unwrap();
        assert_eq!(value, json!({"id": "b", "count": 1}));
        let error = decode::<Named>(&bytes, encoding).unwrap_err();
        assert!(error.to_string().starts_with("duplicate field `id`"), "{error}");
    }
}

#[test]
fn a_writer_that_fails_is_an_error() {
    let mut small = [0_u8; 3];
    assert_eq!(json::to_writer(&mut small[..], "longer").unwrap_err().kind(), ErrorKind::Write);
    assert_eq!(etf::to_writer(&mut small[..], "longer").unwrap_err().kind(), ErrorKind::Write);
}
