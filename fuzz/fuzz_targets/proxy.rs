//! The header of a proxy in front of a connection, in any pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgweir::wire::proxy;

fuzz_target!(|data: &[u8]| {
    // A verdict once given stays: more bytes are the client's.
    let whole = proxy::parse(data);
    for end in 0..data.len() {
        match proxy::parse(&data[..end]) {
            Ok(None) => {}
            early => {
                assert_eq!(early, whole);
                break;
            }
        }
    }
    if let Ok(Some(header)) = whole {
        assert!(header.len <= data.len());
        assert_eq!(proxy::parse(&data[..header.len]), whole);
    }
});
