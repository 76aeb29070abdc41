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
        roles: None,
    }
}

/// The number of the line that is found, or asks for roles.
fn found(hba: &Hba, asking: &Asking<'_>) -> Option<u32> {
    match hba.find(asking) {
        Search::Line(line) => Some(line.number),
        Search::Roles(line) => panic!("line {} asks for roles", line.number),
        Search::Nothing => None,
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
    let found = |asking: Asking<'_>| found(&hba, &asking);
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
        found(&hba, &asking)
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
    assert_eq!(lines, (1..=15).collect::<Vec<_>>());
    assert!(
        faults[1].message.contains("\"rejct\" is not known"),
        "{}",
        faults[1].message
    );
    let hba = parse("hostgssenc all all all trust\n");
    assert_eq!(hba.notes.len(), 1);
    assert_eq!(found(&hba, &asking(Some("::1"), "x", "y")), None);
}

#[test]
fn roles_are_asked_for_when_a_line_depends_on_them() {
    let mut files = |_: &str| Ok("ann\n+audit\n\"+x\"\n".to_owned());
    let text = "host app ann,+sales all md5\n\
                hostssl app +tls all md5\n\
                host other +\"Big Ones\" all md5\n\
                host samerole all 10.0.0.0/8 md5\n\
                host pay @list all reject\n\
                host pay all all md5\n\
                host replication +copies all md5\n";
    let hba = Hba::parse(text, &mut files).expect("a file");
    let lan = Some("10.1.2.3");
    let find = |database: &str, user: &str, roles: Option<&[&str]>| {
        let owned: Option<Vec<String>> =
            roles.map(|all| all.iter().map(|&role| role.to_owned()).collect());
        let asking = Asking {
            roles: owned.as_deref(),
            ..asking(lan, database, user)
        };
        match hba.find(&asking) {
            Search::Line(line) => ("is", line.number),
            Search::Roles(line) => ("asks", line.number),
            Search::Nothing => ("none", 0),
        }
    };
    // A line that fits anyway asks for nothing.
    assert_eq!(find("app", "ann", None), ("is", 1));
    assert_eq!(find("app", "bob", None), ("asks", 1));
    assert_eq!(find("app", "bob", Some(&["bob", "sales"])), ("is", 1));
    // Line 2 wants TLS; 4 fits who is a member of the role called as the database.
    assert_eq!(find("app", "bob", Some(&["bob", "tls"])), ("none", 0));
    assert_eq!(find("app", "bob", Some(&["app"])), ("is", 4));
    assert_eq!(find("other", "bob", Some(&["Big Ones"])), ("is", 3));
    assert_eq!(find("other", "bob", Some(&["big ones"])), ("none", 0));
    let here = Asking {
        roles: None,
        ..asking(Some("::1"), "x", "bob")
    };
    assert!(matches!(hba.find(&here), Search::Nothing), "not asked");
    // A list in a file.
    assert_eq!(find("pay", "bob", None), ("asks", 4));
    assert_eq!(find("pay", "bob", Some(&["audit"])), ("is", 5));
    assert_eq!(find("pay", "+x", Some(&[])), ("is", 5));
    assert_eq!(find("pay", "bob", Some(&["bob"])), ("is", 6));
    let physical = Asking {
        physical: true,
        ..asking(lan, "app", "bob")
    };
    let Search::Roles(line) = hba.find(&physical) else {
        panic!("samerole does not mean replication");
    };
    assert_eq!(line.number, 7);

    let asks: Vec<bool> = hba.lines().iter().map(Line::asks_for_roles).collect();
    assert_eq!(asks, [true, true, true, true, true, false, true]);
    let mean = |at: usize, name: &str| hba.lines()[at].may_mean(name);
    assert!(mean(0, "app") && !mean(0, "other") && mean(3, "other") && mean(6, "app"));
}
