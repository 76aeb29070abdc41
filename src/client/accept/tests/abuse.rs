//! What hostile clients have done to other poolers.

use super::*;

/// Brings a login to the point where the client must answer.
async fn to_challenge(p: &mut Peer<UnixStream>, user: &str, database: &str, sasl_continue: bool) {
    p.startup(user, database).await;
    let (code, _) = p.request().await;
    if sasl_continue {
        assert_eq!(code, 10);
        p.password(&sasl::write_initial(sasl::SCRAM_SHA_256, b"n,,n=,r=abc"))
            .await;
        assert_eq!(p.request().await.0, 11);
    }
}

/// CVE-2026-107350: a second startup packet in the middle of an authentication.
#[tokio::test]
async fn no_startup_packet_is_taken_twice() {
    let mut again = Vec::new();
    write_startup(&mut again, 0, &[("user", "plain"), ("database", "db")]);
    let mut packets = vec![again];
    for code in [SSL_REQUEST, crate::wire::startup::GSSENC_REQUEST] {
        let mut packet = Vec::new();
        write_code(&mut packet, code);
        packets.push(packet);
    }
    packets.push(b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x01".to_vec());
    packets.push(b"Q\0\0\0\x05\0".to_vec());
    packets.push(b"S\0\0\0\x04".to_vec());
    for (auth_type, sasl_continue) in [
        (AuthType::Plain, false),
        (AuthType::Md5, false),
        (AuthType::ScramSha256, false),
        (AuthType::ScramSha256, true),
    ] {
        for database in ["db", "nosuch"] {
            for packet in &packets {
                let (result, error) = run(&config(auth_type), async |p| {
                    to_challenge(p, "plain", database, sasl_continue).await;
                    p.send(packet).await;
                    p.error().await
                })
                .await;
                assert!(matches!(result, Err(LoginError::Protocol(_))), "{result:?}");
                assert_eq!(error.0, "08P01");
            }
        }
    }
}

/// CVE-2026-107349: options with an empty name.
#[tokio::test]
async fn odd_options_are_answered_at_once() {
    let spaces = " ".repeat(9_000);
    for options in ["-c=", "-c =", "--=", "-c", "\\", "--", "-", spaces.as_str()] {
        for ignored in [Vec::new(), vec!["a".to_owned()], vec!["options".to_owned()]] {
            let mut config = config(AuthType::Any);
            config.settings.ignore_startup_parameters = ignored;
            let mut first = Vec::new();
            write_startup(
                &mut first,
                0,
                &[("user", "u"), ("database", "db"), ("options", options)],
            );
            let answer = timeout(
                Duration::from_secs(5),
                run(&config, async |p| p.send(&first).await),
            );
            let (result, ()) = answer.await.expect("no hang");
            match result {
                Ok(Accepted::Login(login)) => assert!(login.params.is_empty()),
                Err(LoginError::BadParameter(_)) => {}
                other => panic!("{options}: {other:?}"),
            }
        }
    }
}

/// CVE-2026-107348, CVE-2026-6668: lengths that no buffer should ever follow.
#[tokio::test]
async fn lengths_are_refused_before_the_body_arrives() {
    for len in [
        0u32,
        3,
        7,
        10_005,
        0x7fff_ffff,
        0x8000_0000,
        0x8000_0001,
        u32::MAX,
    ] {
        let (result, error) = run(&config(AuthType::Any), async |p| {
            p.send(&len.to_be_bytes()).await;
            p.error().await
        })
        .await;
        assert!(matches!(result, Err(LoginError::Startup(_))), "{len}");
        assert_eq!(error.0, "08P01");
    }
    for (auth_type, sasl_continue, limit) in [
        (AuthType::Plain, false, 65_535u32),
        (AuthType::Md5, false, 65_535),
        (AuthType::ScramSha256, false, 1_024),
        (AuthType::ScramSha256, true, 1_024),
    ] {
        for len in [0, 3, limit + 5, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
            let (result, error) = run(&config(auth_type), async |p| {
                to_challenge(p, "plain", "db", sasl_continue).await;
                p.send(b"p").await;
                p.send(&len.to_be_bytes()).await;
                p.error().await
            })
            .await;
            assert!(matches!(result, Err(LoginError::Frame(_))), "{len}");
            assert_eq!(error.0, "08P01");
        }
    }
}

/// CVE-2026-6664: the length inside SASLInitialResponse.
#[tokio::test]
async fn sasl_initial_lengths() {
    for (len, data) in [
        (0xffff_ffffu32, &b"n,,n=,r=a"[..]),
        (8, b"n,,n=,r=a"),
        (10, b"n,,n=,r=a"),
        (0x7fff_ffff, b"n,,n=,r=a"),
        (0x8000_0000, b""),
        (1, b""),
    ] {
        let mut body = b"SCRAM-SHA-256\0".to_vec();
        body.extend(len.to_be_bytes());
        body.extend(data);
        let (_, error) = run(&config(AuthType::ScramSha256), async |p| {
            to_challenge(p, "plain", "db", false).await;
            p.password(&body).await;
            p.error().await
        })
        .await;
        assert_eq!(error.0, "08P01", "{len} {error:?}");
    }
    // No initial response: an empty challenge, and then the same as ever.
    let (result, ()) = run(&config(AuthType::ScramSha256), async |p| {
        to_challenge(p, "plain", "db", false).await;
        p.password(b"SCRAM-SHA-256\0\xff\xff\xff\xff").await;
        assert_eq!(p.request().await, (11, Vec::new()));
        let (waiting, first) =
            scram_client::start("nonce".to_owned(), &scram_client::Binding::Impossible);
        let first = first.as_bytes();
        p.password(first).await;
        let challenge = waiting.server_first(&p.request().await.1).unwrap();
        let keys = ScramKeys::derive("secret", &challenge.salt, challenge.iterations);
        p.password(&challenge.answer(&keys).1).await;
    })
    .await;
    login(result);
}

/// CVE-2026-19888: a final message without its nonce, for users who exist and who do not.
#[tokio::test]
async fn broken_scram_messages() {
    let scram = config(AuthType::ScramSha256);
    for user in ["plain", "stored", "hashed", "nobody"] {
        for last in [
            &b""[..],
            b"c=biws",
            b"c=biws,p=AAAA",
            b"r=abc",
            b"c=biws,r=,p=",
            b"\0",
            b"c=biws,r=abc",
        ] {
            let (result, error) = run(&scram, async |p| {
                to_challenge(p, user, "db", true).await;
                p.password(last).await;
                p.error().await
            })
            .await;
            assert!(matches!(result, Err(LoginError::Scram(_))), "{result:?}");
            assert_eq!(error.0, "08P01");
        }
        for (mechanism, data, code) in [
            (
                &b"SCRAM-SHA-256"[..],
                &b"p=tls-server-end-point,,n=,r=a"[..],
                "0A000",
            ),
            (b"SCRAM-SHA-256", b"n,a=root,n=,r=a", "0A000"),
            (b"SCRAM-SHA-256", b"n,,m=x,n=,r=a", "0A000"),
            (b"SCRAM-SHA-256", b"", "08P01"),
            (b"SCRAM-SHA-256-PLUS", b"n,,n=,r=a", "08P01"),
            (b"", b"n,,n=,r=a", "08P01"),
        ] {
            let (_, error) = run(&scram, async |p| {
                to_challenge(p, user, "db", false).await;
                p.password(&sasl::write_initial(mechanism, data)).await;
                p.error().await
            })
            .await;
            assert_eq!(error.0, code, "{data:?}");
        }
    }
}

/// CVE-2015-4054 and relatives: anything else than a startup packet first.
#[tokio::test]
async fn no_message_comes_before_startup() {
    for tag in 1..=u8::MAX {
        let (result, error) = run(&config(AuthType::Any), async |p| {
            p.send(&[tag, 0, 0, 0, 5, 0]).await;
            p.error().await
        })
        .await;
        assert!(matches!(result, Err(LoginError::Startup(_))), "{tag}");
        assert_eq!(error.0, "08P01");
    }
}

#[tokio::test]
async fn passwords_have_exactly_one_terminator() {
    for (auth_type, body) in [
        (AuthType::Plain, &b""[..]),
        (AuthType::Plain, b"secret"),
        (AuthType::Plain, b"secret\0\0"),
        (AuthType::Plain, b"secret\0x\0"),
        (AuthType::Md5, b""),
        (AuthType::Md5, b"md5"),
    ] {
        let (_, error) = run(&config(auth_type), async |p| {
            to_challenge(p, "plain", "db", false).await;
            p.password(body).await;
            p.error().await
        })
        .await;
        assert_eq!(error.0, "08P01");
    }
    // The longest password is read whole.
    let mut body = vec![b'x'; 65_534];
    body.push(0);
    let (_, error) = run(&config(AuthType::Plain), async |p| {
        to_challenge(p, "plain", "db", false).await;
        p.password(&body).await;
        p.error().await
    })
    .await;
    assert_eq!(error.0, "28P01");
}

/// CVE-2012-4575: names of any length.
#[tokio::test]
async fn long_names_are_only_names() {
    for len in [63, 64, 65, 4_000] {
        let name = "n".repeat(len);
        let (result, error) = run(&config(AuthType::Any), async |p| {
            p.startup(&name, &name).await;
            p.error().await
        })
        .await;
        assert!(matches!(result, Err(LoginError::NoSuchDatabase(_))));
        assert_eq!(error.0, "3D000");
    }
}

#[tokio::test]
async fn bytes_may_come_one_by_one() {
    let (result, ()) = run(&config(AuthType::Plain), async |p| {
        let mut first = Vec::new();
        write_startup(&mut first, 0, &[("user", "plain"), ("database", "db")]);
        for byte in first {
            p.send(&[byte]).await;
            tokio::task::yield_now().await;
        }
        p.request().await;
        for byte in b"p\0\0\0\x0bsecret\0" {
            p.send(&[*byte]).await;
            tokio::task::yield_now().await;
        }
    })
    .await;
    login(result);
}
