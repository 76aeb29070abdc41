//! A client's bytes before it is authenticated, in any pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgweir::client::handshake::{Handshake, Step, Transport};
use pgweir::wire::startup;

/// Feeds `bytes` in pieces and gives every step up to the end of the startup phase.
fn play(bytes: &[u8], piece: usize, transport: Transport) -> Vec<String> {
    let ignored = ["extra_float_digits".to_owned()];
    let mut handshake = Handshake::new(transport, &ignored);
    let mut received = Vec::new();
    let mut steps = Vec::new();
    let mut pieces = bytes.chunks(piece.max(1));
    loop {
        match handshake.advance(&mut received) {
            Ok(Step::Read) => match pieces.next() {
                Some(piece) => received.extend(piece),
                None => return steps,
            },
            Ok(step @ (Step::Decline | Step::AcceptTls | Step::DirectTls)) => {
                // What follows would be inside TLS; that is another connection's worth of bytes.
                steps.push(format!("{step:?}"));
                if !matches!(step, Step::Decline) {
                    return steps;
                }
            }
            Ok(step) => {
                steps.push(format!("{step:?}"));
                return steps;
            }
            Err(error) => {
                steps.push(error.to_string());
                return steps;
            }
        }
        assert!(steps.len() < 16, "no progress: {steps:?}");
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, bytes)) = data.split_first() else {
        return;
    };
    let _ = startup::packet_len(bytes);
    let _ = startup::parse(bytes);
    let transport = Transport {
        unix: choice & 1 != 0,
        can_tls: choice & 2 != 0,
        must_tls: choice & 6 == 6,
    };
    // SSLRequest followed at once by more is judged by what has come, so only its outcome without
    // TLS must not depend on the pieces.
    let steps = play(bytes, usize::from(choice >> 3), transport);
    if !transport.can_tls {
        assert_eq!(steps, play(bytes, bytes.len(), transport));
    }
});
