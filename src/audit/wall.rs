//! The firewall's profiles as sessions see them, and their files.
//!
//! Which profile is whose is decided once per client. A list is written every half minute if it has
//! changed, and when the process ends: to a new file of mode 0600 that takes the old one's place.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use super::replace::replace;
use crate::config::{Config, ConfigError, ConfigErrors, FirewallSettings};
use crate::lint::firewall::{Mode, Profile};

/// Longest file of a list, in bytes.
const LONGEST_FILE: u64 = 64 << 20;
/// How often lists are written.
const EVERY: Duration = Duration::from_secs(30);

/// One profile.
#[derive(Debug)]
pub struct Guard {
    /// Its name.
    pub name: Box<str>,
    /// Whose statements it looks at.
    settings: FirewallSettings,
    profile: Mutex<Profile>,
}

impl Guard {
    /// Does something with the profile.
    pub fn with<T>(&self, f: impl FnOnce(&mut Profile) -> T) -> T {
        f(&mut self.profile.lock())
    }

    /// Whom it is about, for people.
    #[must_use]
    pub fn scope(&self) -> [&str; 3] {
        let settings = &self.settings;
        [&settings.database, &settings.user, &settings.network]
            .map(|name| name.as_deref().unwrap_or("*"))
    }

    /// How exactly it fits; `None` if it does not.
    fn rank(&self, database: &str, user: &str, address: Option<IpAddr>) -> Option<u8> {
        let fits = |want: &Option<String>, is: &str| want.as_deref().is_none_or(|w| w == is);
        let settings = &self.settings;
        let within = match &settings.network {
            None => true,
            Some(network) => within(network, address) == Some(true),
        };
        (fits(&settings.database, database) && fits(&settings.user, user) && within).then(|| {
            u8::from(settings.database.is_some())
                + u8::from(settings.user.is_some())
                + u8::from(settings.network.is_some())
        })
    }
}

/// Whether an address is in a network such as `10.0.0.0/8`, or `unix`; `None` if that is none.
fn within(network: &str, address: Option<IpAddr>) -> Option<bool> {
    if network == "unix" {
        return Some(address.is_none());
    }
    let (base, bits) = match network.split_once('/') {
        Some((base, bits)) => (base, Some(bits.parse::<u32>().ok()?)),
        None => (network, None),
    };
    let prefix = |address: u128, width: u32, bits: u32| match width - bits {
        128 => 0,
        rest => address >> rest,
    };
    let number = |address: IpAddr| match address.to_canonical() {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32),
        IpAddr::V6(v6) => (u128::from(v6), 128),
    };
    let (base, width) = number(base.parse().ok()?);
    let bits = bits.unwrap_or(width);
    if bits > width {
        return None;
    }
    let address = address.map(number);
    Some(address.is_some_and(|(address, its)| {
        its == width && prefix(address, width, bits) == prefix(base, width, bits)
    }))
}

/// All profiles.
#[derive(Debug, Default)]
pub struct Wall {
    /// In the order of the configuration.
    pub guards: Vec<Arc<Guard>>,
    written: Mutex<Option<Instant>>,
}

impl Wall {
    /// Makes the profiles of a configuration; those of `before` go on with what they know. Files are
    /// read for the others.
    ///
    /// # Errors
    /// Everything that is wrong, with its place; nothing has changed then.
    pub fn of(config: &Config, before: Option<&Wall>) -> Result<Wall, ConfigErrors> {
        let mut wrong = Vec::new();
        let mut wall = Wall::default();
        let base = config
            .path
            .as_deref()
            .and_then(Path::parent)
            .unwrap_or(Path::new(""));
        for settings in &config.lint.firewall {
            let settings = &FirewallSettings {
                file: settings.file.as_ref().map(|file| base.join(file)),
                ..settings.clone()
            };
            let mut fault = |message: String| {
                wrong.push(ConfigError {
                    message,
                    ..settings.place.clone()
                });
            };
            if !config.settings.lint {
                fault("needs lint, which is off".to_owned());
                continue;
            }
            if wall
                .guards
                .iter()
                .any(|guard| *guard.name == *settings.name)
            {
                fault(format!(
                    "{} is there twice; each needs a name of its own",
                    settings.name
                ));
                continue;
            }
            let Some(mode) = Mode::parse(&settings.mode) else {
                fault(format!(
                    "{:?} is no mode; there are off, learn, detect and protect",
                    settings.mode
                ));
                continue;
            };
            if let Some(network) = &settings.network
                && within(network, None).is_none()
            {
                fault(format!(
                    "{network:?} is no network; write 10.0.0.0/8, an address, or unix"
                ));
                continue;
            }
            let known = (before.into_iter().flat_map(|wall| &wall.guards)).find(|guard| {
                *guard.name == *settings.name && guard.settings.file == settings.file
            });
            let profile = match known {
                Some(guard) => Ok(guard.profile.lock().clone()),
                None => load(settings.file.as_deref()),
            };
            match profile {
                Ok(mut profile) => {
                    // Learning that has come to its end does not begin anew with a reload.
                    let goes_on = known.is_some_and(|guard| guard.settings.mode == settings.mode);
                    if !goes_on {
                        profile.mode = mode;
                    }
                    profile.learn_for = settings.learn_for.as_secs();
                    wall.guards.push(Arc::new(Guard {
                        name: settings.name.as_str().into(),
                        settings: settings.clone(),
                        profile: Mutex::new(profile),
                    }));
                }
                Err(message) => fault(message),
            }
        }
        match wrong.is_empty() {
            true => Ok(wall),
            false => Err(ConfigErrors(wrong)),
        }
    }

    /// The profile of a client: of those that fit the one that says most about whom it is for.
    #[must_use]
    pub fn of_client(
        &self,
        database: &str,
        user: &str,
        address: Option<IpAddr>,
    ) -> Option<Arc<Guard>> {
        let fitting = (self.guards.iter())
            .filter_map(|guard| Some((guard.rank(database, user, address)?, guard)));
        fitting
            .rev()
            .max_by_key(|(rank, _)| *rank)
            .map(|(_, guard)| guard.clone())
    }

    /// The profile of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<Guard>> {
        self.guards.iter().find(|guard| *guard.name == *name)
    }

    /// Writes the lists that have changed, if it is time or `now_in_any_case`.
    pub fn save(&self, now_in_any_case: bool) {
        if self.guards.is_empty() {
            return;
        }
        let mut written = self.written.lock();
        let due = written.is_none_or(|last| last.elapsed() >= EVERY);
        if !due && !now_in_any_case {
            return;
        }
        *written = Some(Instant::now());
        for guard in &self.guards {
            let Some(path) = &guard.settings.file else {
                continue;
            };
            let Some(text) = guard.with(Profile::take_changed) else {
                continue;
            };
            if let Err(error) = replace(path, &text) {
                guard.with(Profile::not_written);
                tracing::error!(profile = %guard.name, path = %path.display(), %error, "the firewall's list cannot be written");
            }
        }
    }
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn load(path: Option<&Path>) -> Result<Profile, String> {
    let mut profile = Profile::default();
    let Some(path) = path else {
        return Ok(profile);
    };
    let shown = path.display();
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(profile),
        Err(error) => return Err(format!("{shown}: {error}")),
        Ok(file) if file.len() > LONGEST_FILE => {
            return Err(format!("{shown} is longer than 64 MB"));
        }
        Ok(_) => {}
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
    (profile.read(&text)).map_err(|(line, what)| format!("{shown}:{line}: {what}"))?;
    Ok(profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let inside = |network: &str, address: &str| within(network, address.parse().ok());
        assert_eq!(inside("10.0.0.0/8", "10.1.2.3"), Some(true));
        assert_eq!(inside("10.0.0.0/8", "11.1.2.3"), Some(false));
        assert_eq!(inside("10.0.0.0/8", "::1"), Some(false));
        assert_eq!(inside("10.0.0.1", "10.0.0.1"), Some(true));
        assert_eq!(inside("0.0.0.0/0", "9.9.9.9"), Some(true));
        assert_eq!(inside("::/0", "2001:db8::1"), Some(true));
        assert_eq!(inside("10.0.0.0/8", "::ffff:10.0.0.1"), Some(true));
        assert_eq!(within("unix", None), Some(true));
        assert_eq!(within("10.0.0.0/8", None), Some(false));
        for bad in ["", "x", "10.0.0.0/33", "10.0.0.0/x", "10.0.0/8", "::/129"] {
            assert_eq!(inside(bad, "10.0.0.1"), None, "{bad}");
        }
    }

    fn wall(text: &str) -> Result<Wall, ConfigErrors> {
        let text = format!("[pgweir]\nauth_type = \"trust\"\n{text}");
        Wall::of(&Config::from_toml(&text)?, None)
    }

    #[test]
    fn the_profile_that_says_most_is_a_clients() {
        let wall = wall(
            "[[lint.firewall]]\nname = \"all\"\nmode = \"learn\"\n[[lint.firewall]]\nname = \"shop\"\ndatabase = \"shop\"\nmode = \"learn\"\n[[lint.firewall]]\nname = \"web\"\ndatabase = \"shop\"\nuser = \"web\"\nnetwork = \"10.0.0.0/8\"\nmode = \"protect\"\n",
        )
        .expect("valid");
        let of = |database: &str, user: &str, address: &str| {
            let guard = wall.of_client(database, user, address.parse().ok());
            guard.map(|guard| guard.name.to_string())
        };
        assert_eq!(of("x", "web", "10.1.1.1").as_deref(), Some("all"));
        assert_eq!(of("shop", "web", "11.1.1.1").as_deref(), Some("shop"));
        assert_eq!(of("shop", "web", "10.1.1.1").as_deref(), Some("web"));
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let told = wall(
            "[[lint.firewall]]\nname = \"a\"\nmode = \"lern\"\n[[lint.firewall]]\nname = \"b\"\nmode = \"learn\"\nnetwork = \"10\"\n[[lint.firewall]]\nname = \"c\"\nmode = \"off\"\n[[lint.firewall]]\nname = \"c\"\nmode = \"off\"\n",
        )
        .expect_err("mistakes")
        .to_string();
        for wanted in [
            "config:4: lint.firewall: \"lern\" is no mode",
            "config:7: lint.firewall: \"10\" is no network",
            "config:14: lint.firewall: c is there twice",
        ] {
            assert!(told.contains(wanted), "{wanted} in\n{told}");
        }
    }

    #[test]
    fn a_list_outlives_the_process() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("list");
        let text = format!(
            "[pgweir]\nauth_type = \"trust\"\n[[lint.firewall]]\nname = \"a\"\nmode = \"learn\"\nfile = \"{}\"\n",
            path.display()
        );
        let config = Config::from_toml(&text).expect("valid");
        let first = Wall::of(&config, None).expect("a wall");
        let one = crate::lint::firewall::Statement {
            shape: 7,
            longest_list: 0,
            rows: 0,
            whole: true,
            control: false,
            learnable: true,
        };
        first.guards[0].with(|profile| profile.see(one, 1, || "select ?".to_owned()));
        first.save(true);
        let second = Wall::of(&config, None).expect("a wall");
        assert_eq!(second.guards[0].with(|profile| profile.entries().len()), 1);
        std::fs::write(&path, "nonsense").expect("written");
        let told = Wall::of(&config, None).expect_err("a bad file").to_string();
        assert!(told.contains("list:1: "), "{told}");
        // A list that is in use is not read again.
        assert!(Wall::of(&config, Some(&second)).is_ok());
    }
}
