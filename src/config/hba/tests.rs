use super::*;

fn parse(text: &str) -> Hba {
    let mut files = |name: &str| match name {
        "staff" => Ok("ann\nbob # both\n\"c d\"\n".to_owned()),
        other => Err(format!("{other}: not there")),
    };
    Hba::parse(text, &mut files).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn asking<'a>(from: Option<&str>, database: &'a str, user: &'a str) -> Asking<'a> {
    Asking {
        from: from.map(|from| from.parse().expect("an address")),
        to: None,
        networks: || {
            let address = |text: &str| text.parse().expect("an address");
            vec![
                (address("192.0.2.77"), address("255.255.255.192")),
                (address("2001:db8::1"), address("ffff:ffff::")),
            ]
        },
        tls: false,
        database,
        user,
        physical: false,
    }
}

#[test]
fn the_first_line_that_fits_counts() {
    let hba = parse(
        "local all postgres peer map=mine\n\
         host pay,shop /^app_ 10.0.0.0/8 md5\n\
         hostssl pay all 0.0.0.0/0 cert\n\
         hostnossl pay all all reject\n\
         host sameuser all samehost trust\n\
         host \"all\" all 127.0.0.1 255.255.255.255 password\n\
         host all @staff ::1/128 scram-sha-256\n\
         host replication all 127.0.0.1/32 trust\n",
    );
    let found = |asking: Asking<'_>| hba.find(&asking).map(|line| line.number);
    let (lan, here) = (Some("10.1.2.3"), Some("127.0.0.1"));
    assert_eq!(found(asking(None, "x", "postgres")), Some(1));
    assert_eq!(found(asking(None, "x", "web")), None);
    assert_eq!(found(asking(lan, "shop", "app_web")), Some(2));
    assert_eq!(found(asking(lan, "shop", "web")), None);
    let tls = Asking {
        tls: true,
        ..asking(lan, "pay", "web")
    };
    assert_eq!(found(tls), Some(3));
    assert_eq!(found(asking(lan, "pay", "web")), Some(4));
    assert_eq!(found(asking(here, "web", "web")), Some(5));
    assert_eq!(
        found(asking(here, "all", "web")),
        Some(6),
        "in quotes it is a name"
    );
    assert_eq!(found(asking(Some("::1"), "x", "c d")), Some(7));
    assert_eq!(found(asking(Some("::1"), "x", "eve")), None);
    let physical = Asking {
        physical: true,
        ..asking(here, "web", "web")
    };
    assert_eq!(
        found(physical),
        Some(8),
        "all and sameuser do not mean replication"
    );
    let line = &hba.lines()[0];
    assert_eq!(
        (line.method, line.map.as_deref()),
        (Method::Auth(AuthType::Peer), Some("mine"))
    );
    assert_eq!(hba.lines()[3].method, Method::Reject);
}

#[test]
fn networks_of_this_machine_and_certificates_beside_a_method() {
    let hba = parse(
        "host all all samenet md5\n\
         hostssl all all all scram-sha-256 clientcert=verify-full\n\
         hostssl all eve all cert map=mine clientcert=verify-full\n",
    );
    let found = |from| {
        let asking = asking(Some(from), "x", "web");
        hba.find(&asking).map(|line| line.number)
    };
    for inside in [
        "192.0.2.64",
        "192.0.2.127",
        "::ffff:192.0.2.100",
        "2001:db8:9::9",
    ] {
        assert_eq!(found(inside), Some(1), "{inside}");
    }
    for outside in ["192.0.2.63", "192.0.2.128", "2001:db9::1", "127.0.0.1"] {
        assert_eq!(found(outside), None, "{outside}");
    }
    let wanted = |at: usize| hba.lines()[at].client_cert;
    assert_eq!(wanted(0), None);
    assert_eq!(wanted(1), Some(ClientCert::VerifyFull));
    assert_eq!(wanted(2), Some(ClientCert::VerifyFull));
}

#[test]
fn every_line_that_cannot_be_used_is_told() {
    let text = "hots all all all trust\n\
                host all all all rejct\n\
                host all all trust\n\
                host all +staff all trust\n\
                host samerole all all trust\n\
                host all @nowhere all trust\n\
                host all /( all trust\n\
                host all all all peer\n\
                host all all all cert\n\
                local all all ldap\n\
                host all all all md5 map=x\n\
                host all all all md5 clientcert=verify-ca\n\
                hostssl all all all md5 clientcert=1\n\
                hostssl all all all cert clientcert=verify-ca\n\
                hostssl all all all md5 clientname=DN\n\
                host all \"all all trust\n\
                host all\n\
                host all all all trust\n\
                hostgssenc all all all trust\n";
    let mut files = |name: &str| Err(format!("{name}: not there"));
    let faults = Hba::parse(text, &mut files).expect_err("mistakes");
    let lines: Vec<u32> = faults.iter().map(|fault| fault.line).collect();
    assert_eq!(lines, (1..=17).collect::<Vec<_>>());
    assert!(
        faults[1].message.contains("\"rejct\" is not known"),
        "{}",
        faults[1].message
    );
    let hba = parse("hostgssenc all all all trust\n");
    assert_eq!(hba.notes.len(), 1);
    assert!(hba.find(&asking(Some("::1"), "x", "y")).is_none());
}
