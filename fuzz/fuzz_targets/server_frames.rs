//! A server's bytes: readers of bodies, the login, and the ledger of replies owed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgweir::config::ChannelBinding;
use pgweir::server::inflight::{Entry, Kind, Ledger, Reply, Verdict};
use pgweir::server::login::{Binding, Credentials, ServerLogin, Turn};
use pgweir::wire::{Header, read};

fn kind(byte: u8) -> Kind {
    match byte % 12 {
        0 => Kind::Query,
        1 => Kind::Function,
        2 => Kind::Parse,
        3 => Kind::Bind,
        4 => Kind::DescribeStatement,
        5 => Kind::DescribePortal,
        6 => Kind::Execute,
        7 => Kind::Close,
        8 => Kind::Sync,
        9 => Kind::CopyData,
        10 => Kind::CopyEnd,
        _ => Kind::Synthetic(b'1'),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&requests, rest)) = data.split_first() else {
        return;
    };
    let (asked, bytes) = rest.split_at(rest.len().min(usize::from(requests)));
    let mut ledger = Ledger::default();
    let mut undone = 0;
    for byte in asked {
        let entry = Entry {
            kind: kind(*byte),
            reply: if byte & 0x80 == 0 {
                Reply::Forward
            } else {
                Reply::Swallow
            },
            statement: 0,
            effect: Some(()),
        };
        undone += usize::from(ledger.sent(entry).is_some());
    }
    assert!(undone <= asked.len());
    let mut login = Some(ServerLogin::new(
        "user".to_owned(),
        Credentials::default(),
        2,
        "nonce".to_owned(),
        Binding {
            policy: ChannelBinding::Prefer,
            end_point: Some(b"hash of a certificate".to_vec()),
        },
    ));
    let mut in_step = true;
    let mut at = 0;
    while let Ok(Some(header)) = Header::parse(&bytes[at..], 1 << 20) {
        let Some(body) = bytes.get(at + Header::LEN..at + header.frame_len()) else {
            break;
        };
        at += header.frame_len();
        let _ = read::ready_for_query(body);
        let _ = read::parameter_status(body);
        let _ = read::command_tag(body);
        let _ = read::data_row(body);
        for field in b"SVCM" {
            let _ = read::error_field(body, *field);
        }
        let more = login.as_mut().map(|login| login.receive(header.tag, body));
        if !matches!(more, Some(Ok(Turn::Read | Turn::Send(_)))) {
            login = None;
        }
        if in_step {
            let before = ledger.len();
            let mut dropped = Vec::new();
            match ledger.reply(header.tag, &mut dropped) {
                Ok(Verdict::Stay(_)) => assert_eq!(ledger.len() + dropped.len(), before),
                Ok(Verdict::Done(_) | Verdict::Failed(_)) => assert!(ledger.len() < before),
                Err(_) => in_step = false,
            }
            while ledger.take_synthetic().is_some() {}
        }
    }
});
