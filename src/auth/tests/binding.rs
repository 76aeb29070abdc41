//! Channel binding: what a man in the middle, or a client that was lied to, looks like.

use super::super::scram_client::Binding as Ours;
use super::*;

/// A login whose client bound itself as `ours` says and whose server sees it as `theirs`.
fn bound(ours: &Ours, theirs: Binding<'_>) -> Result<ScramKeys, ScramError> {
    let keys = ScramKeys::derive("pencil", &rfc_salt(), 10);
    let verifier = keys.verifier(&rfc_salt(), 10);
    let (client, first) = scram_client::start("clientnonce".to_owned(), ours);
    let first = ClientFirst::parse(first.as_bytes(), theirs)?;
    let (server, first) = first.challenge(verifier.salt(), 10, "servernonce");
    let (client, answer) = client.server_first(first.as_bytes())?.answer(&keys);
    let proven = server.finish(&answer, Some(&verifier))?;
    client.finish(proven.server_final.as_bytes())?;
    Ok(proven.keys)
}

#[test]
fn both_sides_must_have_seen_the_same_certificate() {
    let (own, other) = ([7; 32], [8; 32]);
    assert!(bound(&Ours::EndPoint(own.to_vec()), Binding::EndPoint(&own)).is_ok());
    for wrong in [&other[..], &own[..31], &[]] {
        assert_eq!(
            bound(&Ours::EndPoint(wrong.to_vec()), Binding::EndPoint(&own)).err(),
            Some(ScramError::Binding("SCRAM channel binding check failed"))
        );
    }
}

#[test]
fn a_client_that_was_not_shown_the_offer_is_refused() {
    assert!(bound(&Ours::Impossible, Binding::Declined).is_ok());
    assert!(bound(&Ours::Impossible, Binding::Impossible).is_ok());
    assert!(bound(&Ours::NotOffered, Binding::Impossible).is_ok());
    let error = bound(&Ours::NotOffered, Binding::Declined).err();
    assert!(
        matches!(error, Some(ScramError::Binding(why)) if why.contains("negotiation error")),
        "{error:?}"
    );
}

#[test]
fn mechanism_and_header_must_fit_together() {
    let hash = [7; 32];
    for plain in [Ours::Impossible, Ours::NotOffered] {
        assert!(matches!(
            bound(&plain, Binding::EndPoint(&hash)),
            Err(ScramError::Malformed(_))
        ));
    }
    for without in [Binding::Impossible, Binding::Declined] {
        assert!(matches!(
            bound(&Ours::EndPoint(hash.to_vec()), without),
            Err(ScramError::Unsupported(_))
        ));
    }
    for (first, unsupported) in [
        ("p=tls-unique,,n=,r=abc", true),
        ("p=tls-server-end-pointx,,n=,r=abc", true),
        ("p=tls-server-end-poin,,n=,r=abc", true),
        ("p=,,n=,r=abc", true),
        ("p,,n=,r=abc", true),
        ("p=tls-server-end-point", true),
        ("p=tls-server-end-point,a=me,n=,r=abc", true),
        ("p=tls-server-end-point,n=,r=abc", false),
        ("p=tls-server-end-point,,r=abc", false),
    ] {
        let error = ClientFirst::parse(first.as_bytes(), Binding::EndPoint(&hash)).err();
        match unsupported {
            true => assert!(
                matches!(error, Some(ScramError::Unsupported(_))),
                "{first} {error:?}"
            ),
            false => assert!(
                matches!(error, Some(ScramError::Malformed(_))),
                "{first} {error:?}"
            ),
        }
    }
}
