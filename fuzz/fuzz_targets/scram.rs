//! Both ends of SCRAM, fed with what a peer might say, and the packaging around it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgweir::auth::{ScramKeys, ScramVerifier, StoredSecret, sasl, scram_client, scram_server};

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let first = parts.next().unwrap_or_default();
    let last = parts.next().unwrap_or_default();
    let _ = sasl::parse_initial(data);
    let _ = sasl::offers(data, b"SCRAM-SHA-256");
    let keys = ScramKeys::derive("password", b"salt", 1);
    let verifier = keys.verifier(b"salt", 1);
    for binding in [
        scram_server::Binding::Impossible,
        scram_server::Binding::Declined,
        scram_server::Binding::EndPoint(b"hash of a certificate"),
    ] {
        if let Ok(client) = scram_server::ClientFirst::parse(first, binding) {
            let (waiting, _) = client.challenge(b"salt", 1, "server");
            // Nobody can have signed the nonce of this run by chance.
            assert!(waiting.finish(last, Some(&verifier)).is_err());
        }
    }
    for binding in [
        scram_client::Binding::NotOffered,
        scram_client::Binding::EndPoint(b"hash of a certificate".to_vec()),
    ] {
        let (waiting, _) = scram_client::start("client".to_owned(), &binding);
        if let Ok(challenge) = waiting.server_first(first) {
            let (waiting, _) = challenge.answer(&keys);
            let _ = waiting.finish(last);
        }
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = StoredSecret::parse(text);
        if let Some(verifier) = ScramVerifier::parse(text) {
            assert!(verifier.iterations() > 0);
        }
    }
});
