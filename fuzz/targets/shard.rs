#![no_main]

libfuzzer_sys::fuzz_target!(|life: gateway_fuzz::Life| gateway_fuzz::shard(life));
