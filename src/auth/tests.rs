use proptest::prelude::*;

use super::scram::{ScramError, ScramKeys, ScramVerifier};
use super::scram_server::{Binding, ClientFirst};
use super::*;
use crate::config::Secret;

mod binding;

/// RFC 7677, section 3: the whole example exchange for password "pencil".
const CLIENT_FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_FINAL: &[u8] = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn rfc_salt() -> Vec<u8> {
    scram::decode(b"W22ZaJ0SNY7soEsUEjb6gQ==").unwrap()
}

fn pencil() -> ScramVerifier {
    ScramKeys::derive("pencil", &rfc_salt(), 4096).verifier(&rfc_salt(), 4096)
}

#[test]
fn server_follows_the_rfc() {
    let verifier = pencil();
    let (waiting, first) = ClientFirst::parse(CLIENT_FIRST, Binding::Impossible)
        .unwrap()
        .challenge(verifier.salt(), verifier.iterations(), SERVER_NONCE);
    assert_eq!(first, SERVER_FIRST);
    let proven = waiting.finish(CLIENT_FINAL, Some(&verifier)).ok().unwrap();
    assert_eq!(proven.server_final, SERVER_FINAL);
    // The extracted keys are those of the password.
    assert!(verifier.accepts(&proven.keys));
    let derived = ScramKeys::derive("pencil", &rfc_salt(), 4096);
    assert_eq!(proven.keys.client_key, derived.client_key);
}

/// What the client side does in one go.
fn client_exchange(
    nonce: &str,
    server_first: &[u8],
    server_final: &[u8],
    password: &str,
) -> Result<Vec<u8>, ScramError> {
    let (waiting, _) =
        scram_client::start_as("user", nonce.to_owned(), &scram_client::Binding::Impossible);
    let challenge = waiting.server_first(server_first)?;
    let keys = ScramKeys::derive(password, &challenge.salt, challenge.iterations);
    let (waiting, answer) = challenge.answer(&keys);
    waiting.finish(server_final).map(|()| answer)
}

/// One login of our client to our server.
fn login(verifier: &ScramVerifier, keys: &ScramKeys) -> Result<ScramKeys, ScramError> {
    let (client, first) =
        scram_client::start("clientnonce".to_owned(), &scram_client::Binding::Impossible);
    let (server, first) = ClientFirst::parse(first.as_bytes(), Binding::Impossible)?.challenge(
        verifier.salt(),
        verifier.iterations(),
        "servernonce",
    );
    let (client, answer) = client.server_first(first.as_bytes())?.answer(keys);
    let proven = server.finish(&answer, Some(verifier))?;
    client.finish(proven.server_final.as_bytes())?;
    Ok(proven.keys)
}

#[test]
fn wrong_passwords_and_impostors_are_found() {
    let verifier = pencil();
    let wrong = ScramKeys::derive("Pencil", verifier.salt(), verifier.iterations());
    assert_eq!(login(&verifier, &wrong).err(), Some(ScramError::WrongProof));

    let nonce = "rOprNGfwEbeRWgbNEkqO";
    let first = SERVER_FIRST.as_bytes();
    let run = |server_final: &[u8]| client_exchange(nonce, first, server_final, "pencil").err();
    assert_eq!(run(SERVER_FINAL.as_bytes()), None);
    let answer = client_exchange(nonce, first, SERVER_FINAL.as_bytes(), "pencil");
    assert_eq!(answer.as_deref(), Ok(CLIENT_FINAL));
    let forged = format!("v={}", scram::encode(&[7; 32]));
    assert_eq!(run(forged.as_bytes()), Some(ScramError::WrongServer));
    assert_eq!(
        run(b"e=other-error"),
        Some(ScramError::Server("other-error".to_owned()))
    );
    for bad in [&b""[..], b"v=", b"v=AAAA", b"x", b"v=\0", b"r=x"] {
        assert!(
            matches!(run(bad), Some(ScramError::Malformed(_))),
            "{bad:?}"
        );
    }
}

#[test]
fn the_first_message_of_a_client_is_checked() {
    for good in [
        &b"n,,n=,r=abc"[..],
        b"y,,n=,r=abc",
        b"n,,n=\xff\xfe,r=abc",
        b"n,,n=,r=abc,x=1,y=",
    ] {
        assert!(
            ClientFirst::parse(good, Binding::Impossible).is_ok(),
            "{good:?}"
        );
    }
    for bad in [
        &b""[..],
        b"n",
        b"n,",
        b"n,,",
        b"n,,n=",
        b"n,,n=,",
        b"n,,n=,r=",
        b"n,,n=,r=a b",
        b"n,,n=,r=\x7f",
        b"n,,n=,r=a\0b",
        b"n,,r=abc,n=",
        b"n,,r=abc",
        b"n,,n=,n=,r=abc",
        b"n,,n=,r=abc,r=abc",
        b"n,,n=,r=abc,",
        b"n,,n=,r=abc,xx",
        b"n,,n=,r=abc,1=x",
        b"n,x,n=,r=abc",
        b"x,,n=,r=abc",
        b"N,,n=,r=abc",
        b"n=,r=abc",
    ] {
        assert!(
            matches!(
                ClientFirst::parse(bad, Binding::Impossible),
                Err(ScramError::Malformed(_))
            ),
            "{}",
            String::from_utf8_lossy(bad)
        );
    }
    for unsupported in [
        &b"p=tls-server-end-point,,n=,r=abc"[..],
        b"n,a=other,n=,r=abc",
        b"n,,m=1,n=,r=abc",
        b"n,,n=,m=1,r=abc",
        b"n,,n=,r=abc,m=1",
    ] {
        assert!(
            matches!(
                ClientFirst::parse(unsupported, Binding::Impossible),
                Err(ScramError::Unsupported(_))
            ),
            "{}",
            String::from_utf8_lossy(unsupported)
        );
    }
}

#[test]
fn the_final_message_of_a_client_is_checked_for_known_and_unknown_users() {
    let verifier = pencil();
    let finish = |message: &[u8], verifier: Option<&ScramVerifier>| {
        let first = ClientFirst::parse(CLIENT_FIRST, Binding::Impossible).unwrap();
        let (waiting, _) = first.challenge(&rfc_salt(), 4096, SERVER_NONCE);
        waiting.finish(message, verifier).err()
    };
    assert_eq!(finish(CLIENT_FINAL, Some(&verifier)), None);
    assert_eq!(finish(CLIENT_FINAL, None), Some(ScramError::WrongProof));

    let text = std::str::from_utf8(CLIENT_FINAL).unwrap();
    let (rest, proof) = text.split_once(",p=").unwrap();
    let (_, nonce) = rest.split_once(",r=").unwrap();
    let malformed = [
        String::new(),
        "c=biws".to_owned(),
        format!("c=biws,p={proof}"),
        format!("r={nonce},p={proof}"),
        format!("r={nonce},c=biws,p={proof}"),
        format!("c=biws,c=biws,r={nonce},p={proof}"),
        format!("c=biws,r={nonce}"),
        format!("c=biws,r={nonce},"),
        format!("c=biws,r={nonce},p="),
        format!("c=biws,r={nonce},p=AAAA"),
        format!("c=biws,r={nonce},p={proof},x=1"),
        format!("c=biws,r={nonce},p={proof},"),
        format!("c=biws,r={nonce},r={nonce},p={proof}"),
        format!("c=biws,r={nonce},xx,p={proof}"),
        format!("c=eSws,r={nonce},p={proof}"),
        format!("c=,r={nonce},p={proof}"),
        format!("c=biws,r={nonce},p={proof}\0"),
        format!("c=biws,r={nonce},p={}", proof.trim_end_matches('=')),
    ];
    for message in &malformed {
        for who in [Some(&verifier), None] {
            assert!(
                matches!(
                    finish(message.as_bytes(), who),
                    Some(ScramError::Malformed(_))
                ),
                "{message}"
            );
        }
    }
    for nonce in ["", "rOprNGfwEbeRWgbNEkqO", &format!("{nonce}x")] {
        let message = format!("c=biws,r={nonce},p={proof}");
        assert_eq!(
            finish(message.as_bytes(), Some(&verifier)),
            Some(ScramError::Nonce)
        );
    }
    let extended = format!("c=biws,r={nonce},m=1,p={proof}");
    assert!(matches!(
        finish(extended.as_bytes(), None),
        Some(ScramError::Unsupported(_))
    ));
    // An optional extension is signed like the rest, so adding one breaks the proof only.
    let extended = format!("c=biws,r={nonce},x=1,p={proof}");
    assert_eq!(
        finish(extended.as_bytes(), Some(&verifier)),
        Some(ScramError::WrongProof)
    );
}

#[test]
fn the_first_message_of_a_server_is_checked() {
    let first = |message: &str| {
        scram_client::start("abc".to_owned(), &scram_client::Binding::Impossible)
            .0
            .server_first(message.as_bytes())
            .err()
    };
    assert_eq!(first("r=abcd,s=AAAA,i=1"), None);
    assert_eq!(first("r=abcd,s=AAAA,i=1000000,x=1"), None);
    assert_eq!(first("r=abc,s=AAAA,i=1"), Some(ScramError::Nonce));
    assert_eq!(first("r=xabcd,s=AAAA,i=1"), Some(ScramError::Nonce));
    for (count, found) in [
        ("1000001", 1_000_001),
        ("2147483647", 2_147_483_647),
        ("4294967296", 4_294_967_296),
    ] {
        assert_eq!(
            first(&format!("r=abcd,s=AAAA,i={count}")),
            Some(ScramError::Iterations(found))
        );
    }
    for bad in [
        "",
        "r=",
        "r=abcd",
        "r=abcd,s=AAAA",
        "r=abcd,s=,i=1",
        "r=abcd,s=!,i=1",
        "r=abcd,s=AAAA,i=0",
        "r=abcd,s=AAAA,i=",
        "r=abcd,s=AAAA,i=-1",
        "r=abcd,s=AAAA,i=+1",
        "r=abcd,s=AAAA,i=1x",
        "r=abcd,s=AAAA,i=99999999999999999999",
        "s=AAAA,r=abcd,i=1",
        "r=abcd,s=AAAA,i=1,i=1",
        "r=abcd,s=AAAA,i=1,",
        "r=ab\u{e9},s=AAAA,i=1",
        "e=other-error",
    ] {
        assert!(
            matches!(first(bad), Some(ScramError::Malformed(_))),
            "{bad}"
        );
    }
    assert!(matches!(
        first("m=1,r=abcd,s=AAAA,i=1"),
        Some(ScramError::Unsupported(_))
    ));
    // Nonces of every length, up to the bound.
    for len in 1..=4_096 {
        assert_eq!(first(&format!("r=abc{},s=AAAA,i=1", "x".repeat(len))), None);
    }
    let long = "x".repeat(scram_client::MAX_NONCE);
    assert!(first(&format!("r=abc{long},s=AAAA,i=1")).is_some());
}

#[test]
fn secrets_are_recognised_by_their_exact_form() {
    let stored = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    match StoredSecret::parse(stored) {
        StoredSecret::Scram(v) => {
            assert_eq!((v.iterations(), v.salt()), (4096, rfc_salt().as_slice()));
            assert!(v.accepts(&ScramKeys::derive("pencil", v.salt(), 4096)));
        }
        _ => panic!("a verifier"),
    }
    let is_plain = |text: &str| matches!(StoredSecret::parse(text), StoredSecret::Plain(_));
    assert!(matches!(
        StoredSecret::parse("md5d41d8cd98f00b204e9800998ecf8427e"),
        StoredSecret::Md5(_)
    ));
    assert!(is_plain("md5D41D8CD98F00B204E9800998ECF8427E"));
    assert!(is_plain("md5d41d8cd98f00b204e9800998ecf8427"));
    assert!(is_plain(&stored.replace("4096", "0")));
    assert!(is_plain(&stored.replace("4096", "1000001")));
    assert!(is_plain(&stored.replace("==$", "$")));
    assert!(is_plain(&stored[..stored.len() - 4]));
    assert!(StoredSecret::parse("").is_empty());
}

#[test]
fn cleartext_matches_every_form_and_never_the_empty_one() {
    let md5 = format!(
        "md5{}",
        std::str::from_utf8(md5::hex_md5(&[b"pencil", b"alice"]).as_slice()).unwrap()
    );
    let forms = [
        StoredSecret::parse("pencil"),
        StoredSecret::parse(&md5),
        StoredSecret::Scram(pencil()),
    ];
    for form in &forms {
        assert!(cleartext::verify(form, "alice", "pencil"));
        assert!(!cleartext::verify(form, "alice", "pencil2"));
        assert!(!cleartext::verify(form, "alice", ""));
    }
    assert!(!cleartext::verify(&forms[1], "bob", "pencil"));
    assert!(!cleartext::verify(&StoredSecret::parse(""), "alice", ""));
}

#[test]
fn md5_known_answer() {
    // md5("md5" || md5("secret" || "alice") || salt), computed with md5sum.
    let plain = StoredSecret::parse("secret");
    let response = md5::respond(&plain, "alice", *b"abcd").unwrap();
    let stored = md5::hex_md5(&[b"secret", b"alice"]);
    assert_eq!(
        stored.as_slice(),
        MD5_SECRET_ALICE.as_bytes(),
        "{}",
        String::from_utf8_lossy(stored.as_slice())
    );
    assert_eq!(response.as_slice(), MD5_RESPONSE.as_bytes());
    let hashed = StoredSecret::parse(&format!("md5{MD5_SECRET_ALICE}"));
    for secret in [&plain, &hashed] {
        assert!(md5::verify(
            Some(secret),
            "alice",
            *b"abcd",
            response.as_slice()
        ));
        assert!(!md5::verify(
            Some(secret),
            "alice",
            *b"abce",
            response.as_slice()
        ));
        assert!(!md5::verify(Some(secret), "alice", *b"abcd", b""));
        assert!(!md5::verify(
            Some(secret),
            "alice",
            *b"abcd",
            &response[..34]
        ));
    }
    assert!(!md5::verify(None, "alice", *b"abcd", response.as_slice()));
    // Neither the stand-in for unknown users nor an empty secret can be known.
    let mock = md5::respond(&StoredSecret::parse("mock"), "a", *b"abcd").unwrap();
    assert!(!md5::verify(None, "a", *b"abcd", mock.as_slice()));
    let empty = StoredSecret::parse("");
    let of_empty = md5::respond(&empty, "a", *b"abcd").unwrap();
    assert!(!md5::verify(
        Some(&empty),
        "a",
        *b"abcd",
        of_empty.as_slice()
    ));
}

const MD5_SECRET_ALICE: &str = "4a0a68b43b6cd5cf266fa02f196e2371";
const MD5_RESPONSE: &str = "md5c90bcafc0a2b54511742383e34d5dc9d";

#[test]
fn saslprep_as_postgresql_does_it() {
    let same = |a: &str, b: &str| {
        ScramKeys::derive(a, b"salt", 1).client_key == ScramKeys::derive(b, b"salt", 1).client_key
    };
    // RFC 4013, section 3.
    assert!(same("I\u{ad}X", "IX"));
    assert!(same("\u{aa}", "a"));
    assert!(same("\u{2168}", "IX"));
    assert!(!same("USER", "user"));
    // Prohibited and mixed directions: taken as they are.
    assert!(!same("\u{7}", ""));
    assert!(!same("\u{627}1", "1"));
    // Nothing would be left: taken as it is.
    assert!(!same("\u{ad}", ""));
}

#[test]
fn sasl_initial_lengths_must_fit() {
    let body = |len: u32, data: &[u8]| {
        let mut body = b"SCRAM-SHA-256\0".to_vec();
        body.extend(len.to_be_bytes());
        body.extend(data);
        body
    };
    let read = |len, data: &[u8]| {
        sasl::parse_initial(&body(len, data)).map(|i| i.data.map(<[u8]>::to_vec))
    };
    assert_eq!(read(3, b"abc"), Some(Some(b"abc".to_vec())));
    assert_eq!(read(0, b""), Some(Some(Vec::new())));
    assert_eq!(read(u32::MAX, b""), Some(None));
    for len in [
        0,
        1,
        2,
        4,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_fffe,
        0xffff_ffff,
    ] {
        assert_eq!(read(len, b"abc"), None, "{len}");
    }
    assert_eq!(sasl::parse_initial(b""), None);
    assert_eq!(sasl::parse_initial(b"SCRAM-SHA-256"), None);
    assert_eq!(sasl::parse_initial(b"SCRAM-SHA-256\0\0\0\0"), None);
    assert!(sasl::offers(
        b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0",
        b"SCRAM-SHA-256"
    ));
    assert!(!sasl::offers(
        b"SCRAM-SHA-256-PLUS\0\0SCRAM-SHA-256\0",
        b"SCRAM-SHA-256"
    ));
    assert!(!sasl::offers(b"SCRAM-SHA-256", b"SCRAM-SHA-256"));
}

#[test]
fn the_vault_remembers_and_is_bounded() {
    let vault = Vault::new().unwrap();
    assert_eq!(vault.salt("alice"), vault.salt("alice"));
    assert_ne!(vault.salt("alice"), vault.salt("bob"));
    assert_ne!(vault.salt("alice"), Vault::new().unwrap().salt("alice"));
    assert!(vault.recall("p", b"salt", 2).is_none());
    let keys = vault.derive("p", b"salt", 2);
    assert_eq!(
        vault.recall("p", b"salt", 2).unwrap().client_key,
        keys.client_key
    );
    assert!(vault.recall("p", b"salt", 3).is_none());
    assert!(vault.recall("tp", b"sal", 2).is_none());
    for n in 0..5_000u32 {
        vault.derive("p", &n.to_be_bytes(), 1);
    }
    assert!(vault.recall("p", b"salt", 2).is_none(), "the oldest left");
    assert!(vault.recall("p", &4_999u32.to_be_bytes(), 1).is_some());
    let nonce = vault::nonce().unwrap();
    assert!(scram::is_nonce(nonce.as_bytes()) && nonce.len() == 24);
}

proptest! {
    #[test]
    fn client_and_server_agree(password in "\\PC{1,20}", salt in proptest::collection::vec(any::<u8>(), 1..40), iterations in 1..50u32) {
        let keys = ScramKeys::derive(&password, &salt, iterations);
        let verifier = keys.verifier(&salt, iterations);
        let learnt = login(&verifier, &keys);
        prop_assert!(learnt.is_ok());
        // Pass-through: the keys learnt from one login are good for another.
        prop_assert!(login(&verifier, &learnt.ok().unwrap()).is_ok());
        prop_assert!(cleartext::verify(&StoredSecret::Scram(verifier), "u", &password));
    }

    #[test]
    fn md5_round_trip(password in "\\PC{1,20}", user in "\\PC{1,20}", salt in any::<[u8; 4]>()) {
        let secret = StoredSecret::Plain(Secret::new(password));
        let response = md5::respond(&secret, &user, salt).unwrap();
        prop_assert!(md5::verify(Some(&secret), &user, salt, response.as_slice()));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[a-zA-Z=,n\\PC]{0,60}") {
        let verifier = ScramKeys::derive("p", b"s", 1).verifier(b"s", 1);
        for message in [bytes.as_slice(), text.as_bytes()] {
            let _ = ClientFirst::parse(message, Binding::Impossible);
            let (waiting, _) = ClientFirst::parse(b"n,,n=,r=a", Binding::Impossible).unwrap().challenge(b"s", 1, "b");
            prop_assert!(waiting.finish(message, Some(&verifier)).is_err());
            let _ = scram_client::start("a".to_owned(), &scram_client::Binding::Impossible).0.server_first(message);
            let _ = sasl::parse_initial(message);
            let _ = sasl::offers(message, b"x");
        }
        let _ = StoredSecret::parse(&text);
    }
}
