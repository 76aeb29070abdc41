//! Where the console is and who asks: options, then the environment, then what is usual.
//!
//! Source: PostgreSQL documentation, psql's options and libpq's "Environment Variables".

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::pgpass;
use crate::config::{ChannelBinding, Host, Secret, SslMode, TlsSettings, TlsVersions};

/// The port of pgweir and PgBouncer.
const PORT: u16 = 6432;
/// The console's name as a database.
const DATABASE: &str = "pgweir";

/// Where to connect and as whom.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where.
    pub host: Host,
    /// As whom.
    pub user: String,
    /// Database; the console's names are `pgweir` and `pgbouncer`.
    pub database: String,
    /// The password, if one is known.
    pub password: Option<Secret>,
    /// How to speak TLS.
    pub tls: TlsSettings,
}

/// What the command line says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct TargetArgs {
    /// Host or directory of the socket [default: PGHOST or 127.0.0.1]
    #[arg(short = 'h', long, value_name = "HOST")]
    pub host: Option<String>,
    /// Port [default: PGPORT or 6432]
    #[arg(short, long, value_name = "PORT")]
    pub port: Option<u16>,
    /// User of the console, one of admin_users or stats_users [default: PGUSER or the system's user]
    #[arg(short = 'U', long = "username", alias = "user", value_name = "NAME")]
    pub user: Option<String>,
    /// Name of the console
    #[arg(short, long, value_name = "NAME", default_value = DATABASE)]
    pub dbname: String,
}

/// Why it is not known where to connect.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// A variable cannot be understood.
    #[error("{name}: \"{value}\" is no {what}")]
    Variable {
        /// Its name.
        name: &'static str,
        /// What it has.
        value: String,
        /// What it should be.
        what: &'static str,
    },
    /// The system does not know who runs this.
    #[error("who asks? The system has no name for this user: give -U or PGUSER")]
    Nobody,
}

/// What is taken from outside: variables, and the name of the system's user.
pub struct Surroundings<'a> {
    /// The variable of a name.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Who runs this.
    pub system_user: Option<String>,
}

impl TargetArgs {
    /// Decides. The password is that of `PGPASSWORD`; see [`password_file`] for the other.
    ///
    /// # Errors
    /// The caller's mistakes.
    pub fn target(&self, around: &Surroundings<'_>) -> Result<Target, TargetError> {
        let set = |name: &str| (around.env)(name).filter(|value| !value.is_empty());
        let port = match (self.port, set("PGPORT")) {
            (Some(port), _) => port,
            (None, Some(value)) => value.parse().map_err(|_| TargetError::Variable {
                name: "PGPORT",
                value,
                what: "port",
            })?,
            (None, None) => PORT,
        };
        let host = (self.host.clone())
            .or_else(|| set("PGHOST"))
            .unwrap_or_else(|| "127.0.0.1".to_owned());
        let user = (self.user.clone())
            .or_else(|| set("PGUSER"))
            .or_else(|| around.system_user.clone())
            .ok_or(TargetError::Nobody)?;
        let mode = match set("PGSSLMODE") {
            None => SslMode::Prefer,
            Some(value) => ssl_mode(&value).ok_or(TargetError::Variable {
                name: "PGSSLMODE",
                value,
                what: "sslmode",
            })?,
        };
        let home = set("HOME").map(PathBuf::from);
        let authorities = set("PGSSLROOTCERT").map(PathBuf::from).or_else(|| {
            home.map(|home| home.join(".postgresql/root.crt"))
                .filter(|path| path.exists())
        });
        Ok(Target {
            host: Host::parse(host, port),
            user,
            database: self.dbname.clone(),
            password: set("PGPASSWORD").map(Secret::new),
            tls: TlsSettings {
                binding: ChannelBinding::Prefer,
                mode,
                ca_file: authorities,
                cert_file: None,
                key_file: None,
                versions: TlsVersions::Secure,
            },
        })
    }
}

fn ssl_mode(word: &str) -> Option<SslMode> {
    [
        SslMode::Disable,
        SslMode::Allow,
        SslMode::Prefer,
        SslMode::Require,
        SslMode::VerifyCa,
        SslMode::VerifyFull,
    ]
    .into_iter()
    .find(|mode| mode.as_str() == word)
}

/// Where the password file is, by `PGPASSFILE` or in the home directory.
pub fn password_file(env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    let named = set("PGPASSFILE").map(PathBuf::from);
    named.or_else(|| set("HOME").map(|home| Path::new(&home).join(".pgpass")))
}

/// The password for `target` in a password file, if there is one, and what to say about a file that
/// is not used because others may read it.
///
/// Source: libpq, `passwordFromFile`.
pub fn from_file(path: &Path, target: &Target) -> (Option<Secret>, Option<String>) {
    let Ok(file) = std::fs::File::open(path) else {
        return (None, None);
    };
    let Ok(about) = file.metadata() else {
        return (None, None);
    };
    let shown = path.display();
    if !about.is_file() {
        return (None, Some(format!("{shown} is no plain file: not used")));
    }
    if about.mode() & 0o077 != 0 {
        let why = format!("{shown} is readable by others (chmod 0600 would help): not used");
        return (None, Some(why));
    }
    let mut text = zeroize::Zeroizing::new(String::new());
    if file
        .take(pgpass::LONGEST)
        .read_to_string(&mut text)
        .is_err()
    {
        return (None, Some(format!("{shown} cannot be read: not used")));
    }
    let port = target.host.port().to_string();
    let wanted = |host| [host, &*port, &*target.database, &*target.user];
    let found = pgpass::find(&text, wanted(target.host.host()));
    // Lines for the usual socket say localhost.
    let socket = || match &target.host {
        Host::Unix { .. } => pgpass::find(&text, wanted("localhost")),
        Host::Tcp { .. } => None,
    };
    (found.or_else(socket), None)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn target(args: &TargetArgs, vars: &[(&str, &str)]) -> Result<Target, TargetError> {
        let env = |name: &str| {
            let found = vars.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        args.target(&Surroundings {
            env: &env,
            system_user: Some("me".to_owned()),
        })
    }

    fn args() -> TargetArgs {
        TargetArgs {
            dbname: DATABASE.to_owned(),
            ..TargetArgs::default()
        }
    }

    #[test]
    fn options_go_before_the_environment_and_that_before_what_is_usual() {
        let usual = target(&args(), &[("PGPASSWORD", "")]).expect("a target");
        assert_eq!(usual.host.to_string(), "127.0.0.1:6432");
        assert_eq!((&*usual.user, &*usual.database), ("me", "pgweir"));
        assert!(usual.password.is_none());
        assert_eq!(usual.tls.mode, SslMode::Prefer);
        let vars = [
            ("PGHOST", "/tmp"),
            ("PGPORT", "7"),
            ("PGUSER", "stats"),
            ("PGPASSWORD", "secret"),
            ("PGSSLMODE", "verify-full"),
            ("PGSSLROOTCERT", "/ca.pem"),
        ];
        let told = target(&args(), &vars).expect("a target");
        assert_eq!(told.host.to_string(), "/tmp/.s.PGSQL.7");
        assert_eq!(told.user, "stats");
        assert_eq!(told.tls.ca_file.as_deref(), Some(Path::new("/ca.pem")));
        assert!(!format!("{told:?}").contains("secret"), "{told:?}");
        let args = TargetArgs {
            host: Some("::1".to_owned()),
            port: Some(8),
            user: Some("admin".to_owned()),
            dbname: "pgbouncer".to_owned(),
        };
        let told = target(&args, &vars).expect("a target");
        assert_eq!(
            (told.host.to_string().as_str(), &*told.user),
            ("[::1]:8", "admin")
        );
        assert_eq!(told.database, "pgbouncer");
    }

    #[test]
    fn mistakes_in_the_environment() {
        for (name, value) in [("PGPORT", "x"), ("PGSSLMODE", "maybe")] {
            let error = target(&args(), &[(name, value)])
                .expect_err(name)
                .to_string();
            assert!(error.contains(name) && error.contains(value), "{error}");
        }
        let nobody = Surroundings {
            env: &|_| None,
            system_user: None,
        };
        let error = args().target(&nobody).expect_err("nobody");
        assert!(error.to_string().contains("PGUSER"), "{error}");
    }

    #[test]
    fn a_password_file_that_others_may_read_is_not_used() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("pgpass");
        std::fs::write(
            &path,
            "127.0.0.1:6432:pgweir:me:secret\nlocalhost:*:*:me:socket\n",
        )
        .expect("written");
        let mode = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
        };
        let target = target(&args(), &[]).expect("a target");
        mode(0o640);
        let (password, why) = from_file(&path, &target);
        assert!(password.is_none() && why.is_some_and(|why| why.contains("0600")));
        mode(0o600);
        let (password, why) = from_file(&path, &target);
        assert_eq!(password.expect("a password").expose(), "secret");
        assert_eq!(why, None);
        let socket = Target {
            host: Host::parse("/tmp".to_owned(), 6432),
            ..target
        };
        let (password, _) = from_file(&path, &socket);
        assert_eq!(password.expect("a password").expose(), "socket");
        assert!(from_file(&dir.path().join("none"), &socket).0.is_none());
    }
}
