//! Passwords that an LDAP server checks: a real OpenLDAP.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::certs::certs;
use crate::support::pgweir::{Pgweir, Setup};
use crate::support::postgres::{Postgres, each_postgres};
use crate::support::scene;
use crate::support::service::Service;

const BASE: &str = "dc=example,dc=org";

/// Two people of one name in different units, one with characters that mean something in names
/// and filters, and the account that may search.
const PEOPLE: &str = "\
dn: dc=example,dc=org
objectClass: organization
objectClass: dcObject
o: example
dc: example

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: ou=guests,dc=example,dc=org
objectClass: organizationalUnit
ou: guests

dn: uid=ann,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
cn: Ann
sn: A
uid: ann
mail: ann@example.org
userPassword: of ann

dn: uid=twin,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
cn: Twin
sn: T
uid: twin
userPassword: of twin

dn: uid=twin,ou=guests,dc=example,dc=org
objectClass: inetOrgPerson
cn: Twin
sn: T
uid: twin
userPassword: of twin

dn: uid=o\\2c (x)*\\5c,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
cn: Odd
sn: O
uid: o, (x)*\\
userPassword: of odd

dn: cn=reader,dc=example,dc=org
objectClass: inetOrgPerson
cn: reader
sn: reader
userPassword: of reader
";

fn path(file: &Path) -> String {
    file.display().to_string()
}

/// OpenLDAP with [`PEOPLE`]; `ldaps` says whether its port begins with TLS.
fn slapd(ldaps: bool) -> Service {
    Service::start("slapd", |slapd, dir, port| {
        let data = dir.join("data");
        std::fs::create_dir(&data).expect("a directory");
        let config = dir.join("slapd.conf");
        let schemas = ["core", "cosine", "inetorgperson"]
            .map(|name| format!("include /etc/ldap/schema/{name}.schema\n"))
            .concat();
        let (cert, key) = (&certs().server.cert, &certs().server.key);
        let text = format!(
            "{schemas}\
             pidfile {dir}/pid\nargsfile {dir}/args\n\
             TLSCertificateFile {}\nTLSCertificateKeyFile {}\nTLSCACertificateFile {}\n\
             database ldif\nsuffix \"{BASE}\"\ndirectory {data}\n\
             access to attrs=userPassword by anonymous auth by * none\n\
             access to * by dn.exact=\"cn=reader,{BASE}\" read by * none\n",
            path(cert),
            path(key),
            path(&certs().ca),
            dir = path(dir),
            data = path(&data),
        );
        std::fs::write(&config, text).expect("written");
        let people = dir.join("people.ldif");
        std::fs::write(&people, PEOPLE).expect("written");
        let path = std::env::var("PATH").unwrap_or_default();
        let added = Command::new("slapadd")
            .env("PATH", format!("{path}:/usr/sbin"))
            .arg("-f")
            .arg(&config)
            .arg("-l")
            .arg(&people)
            .stdin(Stdio::null())
            .output()
            .expect("running slapadd; scripts/setup test");
        assert!(added.status.success(), "{added:?}");
        let scheme = if ldaps { "ldaps" } else { "ldap" };
        slapd.arg("-f").arg(&config).args([
            "-h",
            &format!("{scheme}://127.0.0.1:{port}"),
            "-d",
            "none",
        ]);
    })
}

fn setup(postgres: &Postgres) -> Setup {
    scene::setup(postgres, "transaction", 2)
        .0
        .database_set("app", "user", "postgres")
}

fn psql(pgweir: &Pgweir, postgres: &Postgres, user: &str, password: &str) -> Output {
    let mut psql = pgweir.client(postgres, "psql", user);
    psql.env("PGPASSWORD", password)
        .args(["-AtqX", "-d", "app", "-c", "SELECT 'in'"])
        .output()
        .expect("running psql")
}

/// What psql printed, on both sides.
fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn passwords_are_the_directorys() {
    for postgres in each_postgres() {
        let slapd = slapd(false);
        let port = slapd.address().port();
        let server = format!("ldapserver=127.0.0.1 ldapport={port}");
        let search = format!(
            "{server} ldapbasedn=\"{BASE}\" ldapbinddn=\"cn=reader,{BASE}\" ldapbindpasswd=\"of reader\""
        );
        let binds = format!("{server} ldapprefix=uid= ldapsuffix=\",ou=people,{BASE}\"");
        let filter = format!("{search} ldapsearchfilter=\"(|(uid=$username)(mail=$username))\"");
        let odd = "o, (x)*\\";
        // Name, password, whether it is right when the name is part of the entry's, with a search,
        // and with a filter.
        let tries = [
            ("ann", "of ann", [true, true, true]),
            ("ann", "of twin", [false; 3]),
            ("ann", "OF ANN", [false; 3]),
            (odd, "of odd", [true, true, true]),
            ("ann@example.org", "of ann", [false, false, true]),
            // Two have this name, and only one of them can be meant.
            ("twin", "of twin", [true, false, false]),
            ("nobody", "of ann", [false; 3]),
            // Not by way of somebody else's entry.
            ("*", "of ann", [false; 3]),
            ("ann)(uid=*", "of ann", [false; 3]),
            ("ann,ou=people", "of ann", [false; 3]),
        ];
        for (at, options) in [binds, search, filter].iter().enumerate() {
            let pgweir = setup(postgres)
                .set("auth_type", "ldap")
                .set("auth_ldap_options", options.as_str())
                .start();
            for (user, password, works) in tries {
                let output = psql(&pgweir, postgres, user, password);
                let told = told(&output);
                match works[at] {
                    true => assert_eq!(told, "in", "{user} {options}"),
                    false => {
                        let refused = format!("LDAP authentication failed for user \"{user}\"");
                        assert!(told.contains(&refused), "{user} {options}: {told}");
                    }
                }
            }
            let log = pgweir.log();
            assert!(
                !log.contains("of ann") && !log.contains("of reader"),
                "{log}"
            );
        }
    }
}

#[test]
fn an_empty_password_is_no_password() {
    use crate::support::message;
    use crate::support::peer::Peer;
    let Some(postgres) = each_postgres().next() else {
        return;
    };
    let slapd = slapd(false);
    let options = format!(
        "ldapserver=127.0.0.1 ldapport={} ldapprefix=uid= ldapsuffix=\",ou=people,{BASE}\"",
        slapd.address().port()
    );
    let pgweir = setup(postgres)
        .set("auth_type", "ldap")
        .set("auth_ldap_options", options)
        .start();
    for (password, works) in [(&b"\0"[..], false), (b"of ann\0", true)] {
        let mut peer = Peer::connect(pgweir.address());
        let parameters = [("user", "ann"), ("database", "app")];
        peer.send_raw(&message::startup(0x0003_0000, &parameters));
        assert_eq!(peer.expect(b'R').body, [0, 0, 0, 3]);
        peer.send_raw(&message::Message::new(b'p', password).bytes());
        assert_eq!(peer.next().tag == b'R', works);
    }
}

#[test]
fn lines_of_the_hba_file_and_encryption() {
    for postgres in each_postgres() {
        let (plain, ldaps) = (slapd(false), slapd(true));
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("hba");
        let behind = format!("ldapprefix=\"uid=\" \"ldapsuffix=,ou=people,{BASE}\"");
        let url = format!(
            "ldaps://localhost:{}/{}?uid?sub",
            ldaps.address().port(),
            "ou=people%2Cdc=example,dc=org"
        );
        let lines = format!(
            "host app ann all ldap ldapserver=localhost ldapport={} ldaptls=1 {behind}\n\
             host app twin all ldap ldapurl=\"{url}\" ldapbinddn=\"cn=reader,{BASE}\" ldapbindpasswd=\"of reader\"\n\
             host app down all ldap ldapserver=127.0.0.1 ldapport=1 {behind}\n",
            plain.address().port(),
        );
        std::fs::write(&file, &lines).expect("written");
        let setup = setup(postgres)
            .set("auth_type", "hba")
            .set("auth_hba_file", path(&file));
        let pgweir = (setup.clone())
            .set("auth_ldap_ca_file", path(&certs().ca))
            .start();
        for (user, password, works) in [
            ("ann", "of ann", true),
            ("ann", "of twin", false),
            ("twin", "of twin", true),
            ("twin", "of ann", false),
        ] {
            let output = psql(&pgweir, postgres, user, password);
            assert_eq!(
                told(&output) == "in",
                works,
                "{user} {password}: {output:?}"
            );
        }
        // Whoever cannot be asked lets nobody in, and says so to the operator only.
        let output = psql(&pgweir, postgres, "down", "x");
        assert!(
            told(&output).contains("cannot authenticate now, try again"),
            "{output:?}"
        );
        let log = pgweir.log();
        assert!(log.contains("ldap://127.0.0.1:1"), "{log}");
        // A certificate of somebody whom nobody trusts.
        let pgweir = (setup.clone())
            .set("auth_ldap_ca_file", path(&certs().stranger.cert))
            .start();
        for user in ["ann", "twin"] {
            let output = psql(&pgweir, postgres, user, &format!("of {user}"));
            assert!(
                told(&output).contains("cannot authenticate now"),
                "{output:?}"
            );
        }
        // A mistake refuses the file.
        std::fs::write(&file, "host all all all ldap ldapserver=x\n").expect("written");
        let output = setup.run_to_end();
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            log.contains("hba:1: auth_hba_file: ldap needs ldapprefix"),
            "{log}"
        );
    }
}
