//! Files that an operator may get wrong: users files and pgbouncer.ini.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgweir::config::{ini, userlist};

fuzz_target!(|text: &str| {
    let (users, faults) = userlist::parse(text);
    assert!(users.len() + faults.len() <= text.len() + 1);
    let _ = ini::parse("fuzz.ini", text, &mut |_| Err("no files here".to_owned()));
    let _ = ini::connection_string(text);
});
