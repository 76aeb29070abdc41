//! A logged-in client's bytes: framing gives the same messages for any split, and no reader of a
//! body fails otherwise than with an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgweir::wire::tag::frontend;
use pgweir::wire::{Header, limits, read};

const MAX_PACKET: u32 = 1 << 16;

/// Tags and bodies of the whole messages, and the error that ends them.
fn frames(bytes: &[u8], piece: usize) -> (Vec<(u8, Vec<u8>)>, Option<String>) {
    let mut held = Vec::new();
    let mut found = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        held.extend(piece);
        loop {
            let header = match Header::parse(&held, u32::MAX - 4) {
                Ok(Some(header)) => header,
                Ok(None) => break,
                Err(error) => return (found, Some(error.to_string())),
            };
            match limits::client_body(header.tag, MAX_PACKET) {
                None => return (found, Some("unknown".to_owned())),
                Some(limit) if header.body_len > limit => {
                    return (found, Some("too long".to_owned()));
                }
                Some(_) => {}
            }
            if held.len() < header.frame_len() {
                break;
            }
            let body = held[Header::LEN..header.frame_len()].to_vec();
            held.drain(..header.frame_len());
            found.push((header.tag, body));
        }
    }
    (found, None)
}

fuzz_target!(|data: &[u8]| {
    let Some((&piece, bytes)) = data.split_first() else {
        return;
    };
    let whole = frames(bytes, bytes.len());
    assert_eq!(whole, frames(bytes, usize::from(piece)));
    for (tag, body) in &whole.0 {
        match *tag {
            frontend::QUERY => drop(read::query(body)),
            frontend::PARSE => {
                if let Ok(parse) = read::parse(body) {
                    assert!(parse.definition.starts_with(parse.text));
                    assert!(body.ends_with(parse.definition));
                }
            }
            frontend::BIND => {
                // The front of a body gives the names or nothing, never other names.
                if let Some(names) = read::bind_names(body) {
                    let front = read::bind_names(&body[..names.len]).expect("the same front");
                    assert_eq!(front.portal, names.portal);
                    assert_eq!(front.statement, names.statement);
                }
            }
            frontend::DESCRIBE | frontend::CLOSE => drop(read::target(*tag, body)),
            _ => {}
        }
    }
});
