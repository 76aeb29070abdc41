//! Repeats in the log: the same message from the same place is written so many times in a period,
//! what is beyond is counted and told in one line.
//!
//! A server that is down or an application that tries a wrong password in a loop fills a disk with one
//! sentence otherwise, and nobody finds the others between. Numbers do not make a message another one:
//! ages, ports and counts are in many of them.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// The period.
pub(super) const PERIOD: Duration = Duration::from_secs(10);
/// Messages that are told apart; those beyond count as one for each place.
const MOST: usize = 1_000;
/// Bytes of a message that are looked at.
const LONGEST: usize = 1_000;

thread_local! {
    /// What is logged now tells of repeats.
    static TELLING: Cell<bool> = const { Cell::new(false) };
}

/// What is counted together: a place in the source and a text.
type Key = (tracing::callsite::Identifier, u64);

/// One message.
struct Repeated {
    /// When the period began.
    began: Instant,
    /// Lines that were written in it.
    written: u32,
    /// Lines that were not, and when the first of them was not.
    held: u64,
    held_since: Instant,
    /// The last of them, and where it is from.
    text: String,
    place: &'static Metadata<'static>,
}

/// A message that was held back so many times, in that time.
pub(super) struct Told {
    place: &'static Metadata<'static>,
    text: String,
}

/// What was written lately.
#[derive(Default)]
pub(super) struct Repeats {
    known: HashMap<Key, Repeated>,
}

impl Repeats {
    /// Whether a message is written, where `limit` of them may be in a period; 0 is no limit.
    fn passes(
        &mut self,
        place: &'static Metadata<'static>,
        text: &str,
        limit: u32,
        now: Instant,
    ) -> bool {
        if limit == 0 {
            return true;
        }
        let mut key = (place.callsite(), hash(text));
        if self.known.len() >= MOST && !self.known.contains_key(&key) {
            // There are only so many places.
            key.1 = 0;
        }
        let known = self.known.entry(key).or_insert_with(|| Repeated {
            began: now,
            written: 0,
            held: 0,
            held_since: now,
            text: String::new(),
            place,
        });
        if now.saturating_duration_since(known.began) >= PERIOD {
            (known.began, known.written) = (now, 0);
        }
        if known.written < limit {
            known.written += 1;
            return true;
        }
        if known.held == 0 {
            known.held_since = now;
        }
        known.held += 1;
        known.text.clear();
        known.text.push_str(text);
        false
    }

    /// What is to be told now; of everything that was held back if `all`. Forgets what has not come for
    /// a period.
    fn due(&mut self, now: Instant, all: bool) -> Vec<Told> {
        let mut due = Vec::new();
        self.known.retain(|_, known| {
            let passed = now.saturating_duration_since(known.held_since);
            if known.held > 0 && (all || passed >= PERIOD) {
                let seconds = passed.as_secs_f64().ceil();
                due.push(Told {
                    place: known.place,
                    text: format!(
                        "{} ({} more like this in {seconds} s)",
                        known.text, known.held
                    ),
                });
                known.held = 0;
            }
            known.held > 0 || now.saturating_duration_since(known.began) < PERIOD
        });
        due
    }
}

/// Of a text without its digits. 0 is for what is not told apart.
fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut in_number = false;
    for byte in text.bytes() {
        let is_digit = byte.is_ascii_digit();
        if !(is_digit && in_number) {
            hasher.write_u8(if is_digit { b'0' } else { byte });
        }
        in_number = is_digit;
    }
    text.len().min(1).hash(&mut hasher);
    hasher.finish().max(1)
}

/// The limit in front of what writes lines. Cheap to clone.
#[derive(Clone)]
pub(super) struct Limit {
    repeats: Arc<Mutex<Repeats>>,
    limit: Arc<AtomicU32>,
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Limit({})", self.limit.load(Ordering::Relaxed))
    }
}

impl Limit {
    /// Lets so many of the same message pass in a period; 0 is no limit.
    pub(super) fn new(limit: u32) -> Self {
        Self {
            repeats: Arc::default(),
            limit: Arc::new(AtomicU32::new(limit)),
        }
    }

    /// Changes the limit.
    pub(super) fn set(&self, limit: u32) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Logs what was held back a period ago and before, or `all` of it. To be called once in a while,
    /// and not while something is being logged.
    pub(super) fn tell(&self, now: Instant, all: bool) {
        let due = self.repeats.lock().due(now, all);
        TELLING.set(true);
        for told in due {
            let fields = told.place.fields();
            if let Some(message) = fields.field("message") {
                let text = format_args!("{}", told.text);
                let value: &dyn tracing::Value = &text;
                Event::dispatch(told.place, &fields.value_set(&[(&message, Some(value))]));
            }
        }
        TELLING.set(false);
    }

    /// Whether an event is written.
    fn passes(&self, event: &Event<'_>) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        if limit == 0 || TELLING.get() {
            return true;
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        let mut repeats = self.repeats.lock();
        repeats.passes(event.metadata(), &message.0, limit, Instant::now())
    }

    /// What writes lines, behind the limit.
    pub(super) fn before<L>(&self, lines: L) -> Limited<L> {
        Limited {
            limit: self.clone(),
            lines,
        }
    }
}

/// A layer that gets only events that pass. Filters of single layers cannot say no to an event that is
/// sent without being asked for first, which is how repeats are told.
pub(super) struct Limited<L> {
    limit: Limit,
    lines: L,
}

impl<S: Subscriber, L: Layer<S>> Layer<S> for Limited<L> {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if self.limit.passes(event) {
            self.lines.on_event(event, context);
        }
    }

    fn on_layer(&mut self, subscriber: &mut S) {
        self.lines.on_layer(subscriber);
    }

    fn on_new_span(&self, fields: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.lines.on_new_span(fields, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.lines.on_record(id, values, context);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        self.lines.on_enter(id, context);
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        self.lines.on_exit(id, context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.lines.on_close(id, context);
    }
}

/// The beginning of an event's text.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // It ends early where there is no more room.
            let _ = write!(Cut(&mut self.0), "{value:?}");
        }
    }
}

struct Cut<'a>(&'a mut String);

impl fmt::Write for Cut<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if self.0.len() >= LONGEST {
                return Err(fmt::Error);
            }
            self.0.push(character);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::subscriber::Interest;

    macro_rules! place {
        () => {{
            struct Here;
            impl tracing::Callsite for Here {
                fn set_interest(&self, _: Interest) {}
                fn metadata(&self) -> &Metadata<'_> {
                    &PLACE
                }
            }
            static HERE: Here = Here;
            static PLACE: Metadata<'static> = tracing::metadata! {
                name: "here",
                target: "here",
                level: tracing::Level::INFO,
                fields: &["message"],
                callsite: &HERE,
                kind: tracing::metadata::Kind::EVENT,
            };
            &PLACE
        }};
    }

    #[test]
    fn the_same_message_from_the_same_place_is_counted() {
        let (here, there) = (place!(), place!());
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut passed = |place, text: &str, now| repeats.passes(place, text, 2, now);
        assert!(passed(here, "server 17 is down", at(0)));
        assert!(passed(here, "server 18 is down", at(1)));
        assert!(!passed(here, "server 4 is down", at(3)));
        assert!(!passed(here, "server 199 is down", at(4)));
        assert!(passed(here, "server 199 is up", at(4)), "another text");
        assert!(passed(there, "server 17 is down", at(4)), "another place");
        assert!(repeats.due(at(12), false).is_empty(), "9 s after the first");
        // A new period; what was held back before is told still.
        assert!(repeats.passes(here, "server 1 is down", 2, at(12)));
        let told = repeats.due(at(13), false);
        assert_eq!(told.len(), 1);
        assert_eq!(
            told[0].text,
            "server 199 is down (2 more like this in 10 s)"
        );
        assert!(repeats.due(at(13), true).is_empty(), "told once");
        assert_eq!(repeats.known.len(), 3);
        repeats.due(at(15), false);
        assert_eq!(repeats.known.len(), 1, "the others are forgotten");
        repeats.due(at(22), false);
        assert!(repeats.known.is_empty());
        assert!(
            (0..100).all(|_| repeats.passes(here, "x", 0, at(30))),
            "no limit"
        );
    }

    #[test]
    fn a_storm_of_different_messages_takes_no_more_memory_and_is_limited_too() {
        let (here, there) = (place!(), place!());
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        let name = |n: u32| -> String {
            n.to_string()
                .bytes()
                .map(|digit| char::from(digit + 40))
                .collect()
        };
        let passed = (0..10_000).filter(|n| repeats.passes(here, &name(*n), 3, now));
        assert_eq!(passed.count(), MOST + 3);
        assert!(repeats.passes(there, "something else", 3, now));
        assert!(repeats.known.len() <= MOST + 2);
        let told = repeats.due(now, true);
        assert_eq!(told.len(), 1);
        let count = format!("({} more like this in 0 s)", 10_000 - MOST - 3);
        assert!(told[0].text.ends_with(&count), "{}", told[0].text);
    }

    #[test]
    fn a_long_message_is_looked_at_in_part() {
        let mut message = Message(String::new());
        let _ = write!(Cut(&mut message.0), "{}", "ä".repeat(5_000));
        assert_eq!(message.0.len(), LONGEST);
    }
}
