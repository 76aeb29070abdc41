//! Any text as SQL: no crash, and white space around it changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgweir::sql::{Lexing, analyse};

fuzz_target!(|data: &[u8]| {
    let Some((&choice, text)) = data.split_first() else {
        return;
    };
    // A text ends at its first NUL.
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let lexing = Lexing {
        standard_conforming_strings: choice & 1 == 0,
        ascii_safe_encoding: choice & 2 == 0,
    };
    let found = analyse(text, lexing);
    if text.len() < 1000 {
        let padded = [b" \n", text, b"\n"].concat();
        assert_eq!(found.flags, analyse(&padded, lexing).flags);
    }
});
