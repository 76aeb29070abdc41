//! Records what the workers saw and what the rules found: findings, the cost of statements, the
//! audit trail, and the log lines about findings.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::audit::chain::Key;
use crate::audit::findings::{Cost, Seen, announce, judged, may_tell};
use crate::audit::findings_file::FindingsFile;
use crate::audit::inbox::Letter;
use crate::audit::kept::Kept;
use crate::audit::observer::{Report, Sink};
use crate::audit::policy as audit;
use crate::audit::slow::SlowLog;
use crate::audit::spans;
use crate::audit::trail::{Trail, TrailSettings};
use crate::config::{Config, Settings};
use crate::lint::engine::Engine;
use crate::lint::firewall::FIREWALL;
use crate::lint::hit::Hit;
use crate::lint::observe::{Detection, Event, Subject};
use crate::lint::policy::{Effective, Policy};
use crate::lint::rule::Action;
use crate::lint::rules::runtime::SLOW;
use crate::pool::process::Process;

/// See the module.
pub struct Recorder {
    process: Arc<Process>,
    trail: Option<Trail>,
    /// Where findings outlive the process.
    file: Option<FindingsFile>,
    /// Reports that never came here, of which the trail was told.
    dropped: u64,
    /// The configuration that the trail's policy is from.
    audited: Arc<Config>,
    /// The last subject's policy: reports come in runs.
    slow: SlowLog,
    last: Option<(Arc<Policy>, Arc<Subject>, Effective)>,
    /// How long statements of the last batch were seen waiting for locks, by client and by how long they
    /// took, in microseconds.
    waited: HashMap<(u64, u64), u64>,
}

impl Recorder {
    /// Opens the audit trail and the file of findings, if the settings ask for them, and takes up what
    /// is in the latter.
    ///
    /// # Errors
    /// The trail's file cannot be used.
    pub fn new(process: &Arc<Process>, settings: &Settings) -> std::io::Result<Self> {
        let config = process.config.load_full();
        let policy = audit::Policy::of(&config).map_err(std::io::Error::other)?;
        let trail = settings.audit_file.clone().map(|path| {
            let key = settings
                .audit_key_file
                .as_deref()
                .map(Key::read)
                .transpose();
            let settings = TrailSettings {
                path,
                key: key.map_err(std::io::Error::other)?,
                wait: settings.audit_on_full == "block",
                max_bytes: settings.audit_max_size,
                max_age: settings.audit_max_age,
            };
            Trail::open(settings, policy)
        });
        let file = settings.findings_file.as_deref().map(|path| {
            let (file, kept) = FindingsFile::open(path);
            take_up(process, settings, kept);
            file
        });
        Ok(Self {
            process: process.clone(),
            audited: config,
            dropped: 0,
            trail: trail.transpose()?,
            file,
            slow: SlowLog::default(),
            last: None,
            waited: HashMap::new(),
        })
    }

    fn action(&mut self, subject: &Arc<Subject>, hit: &Hit) -> Action {
        let policy = self.process.policy.load();
        let known = matches!(&self.last, Some((of, last, _)) if Arc::ptr_eq(of, &policy) && Arc::ptr_eq(last, subject));
        if !known {
            let effective = policy.for_subject(subject);
            self.last = Some((Arc::clone(&policy), subject.clone(), effective));
        }
        match &self.last {
            Some((_, _, effective)) => effective.action(hit.rule, hit.kind),
            None => Action::Log,
        }
    }

    fn hits(&mut self, report: &Report, hits: &[Hit], silenced: Option<&str>) {
        let (text, shape, cost, refused) = match &report.seen.event {
            Event::Executed(execution) => {
                let cost = Cost {
                    round_trips: 1,
                    server_us: report.seen.done_us.saturating_sub(report.seen.sent_us),
                    gap_us: 0,
                    rows: execution.rows,
                    bytes: execution.bytes,
                };
                (&execution.text, execution.shape, cost, false)
            }
            Event::Refused { text, shape } => (text, *shape, Cost::default(), true),
            Event::Connected { .. }
            | Event::LoginFailed { .. }
            | Event::Commanded { .. }
            | Event::Disconnected => return,
        };
        let scope = match &report.seen.event {
            Event::Executed(execution) if execution.trace != 0 => execution.trace,
            _ => report.seen.conn,
        };
        let subject = &report.seen.subject;
        for hit in hits {
            let action = match self.action(subject, hit) {
                // Other statements of the text were refused for something else.
                Action::Block if !refused => Action::Log,
                Action::Off => Action::Off,
                _ if refused && *hit.rule == FIREWALL => Action::Block,
                action => action,
            };
            let Some(severity) = judged(hit, &subject.app) else {
                continue;
            };
            if action == Action::Off {
                continue;
            }
            let action = match silenced {
                Some(_) => Action::Log,
                None => action,
            };
            let lowered = (severity != hit.severity).then(|| hit.clone().severity(severity));
            announce(
                &self.process.findings,
                &Seen {
                    hit: lowered.as_ref().unwrap_or(hit),
                    subject,
                    action,
                    shape,
                    text,
                    parent: (0, b""),
                    scope,
                    suppressed: silenced,
                    count: 1,
                    cost,
                },
            );
        }
    }
}

impl Sink for Recorder {
    fn seen(&mut self, batch: &[Report]) {
        {
            let mut usage = self.process.usage.lock();
            for report in batch {
                usage.record(&report.seen);
            }
        }
        let config = self.process.config.load_full();
        let (lint, slow) = (config.settings.lint, config.settings.log_slow_query);
        if !Arc::ptr_eq(&config, &self.audited) {
            // A reload; it was checked before it came to be in force.
            if let (Some(trail), Ok(policy)) = (&mut self.trail, audit::Policy::of(&config)) {
                trail.cover(policy);
            }
            self.audited = config.clone();
        }
        let now_us = self.process.observer.micros(Instant::now());
        self.look_up_waits(batch);
        self.traced(batch, &config, now_us);
        for report in batch {
            if let Some(trail) = &mut self.trail {
                trail.record(report, now_us);
            }
            let waited = self.waited.get(&(report.seen.conn, took_us(report)));
            self.slow.look(report, slow, waited.copied());
            if lint && let Some(hits) = &report.hits {
                self.hits(report, hits, None);
            }
            if lint
                && let Event::Executed(run) = &report.seen.event
                && let Some(silenced) = run.suppressed()
            {
                self.hits(report, &silenced.hits, Some(&silenced.reason));
            }
        }
        self.flush();
    }

    fn detected(&mut self, found: &Detection) {
        if !self.process.config.load().settings.lint {
            return;
        }
        let action = self.action(&found.subject, &found.hit);
        if action == Action::Off || judged(&found.hit, &found.subject.app).is_none() {
            return;
        }
        let silence = (found.silence.as_ref()).filter(|silence| silence.covers(found.hit.rule));
        let action = match silence {
            Some(_) => Action::Log,
            None => action,
        };
        let waited = (self.waited.get(&(found.conn, found.server_us)))
            .filter(|_| *found.hit.rule == SLOW)
            .map(|us| blamed(&found.hit, *us));
        let mut seen = Seen {
            suppressed: silence.map(|silence| &*silence.reason),
            ..Seen::detection(found, action)
        };
        if let Some(hit) = &waited {
            seen.hit = hit;
        }
        announce(&self.process.findings, &seen);
        // Whatever is stronger cannot be done about what is over; the policy made it a notice.
        if action == Action::Notice && may_tell(&found.hit) {
            self.tell(found.conn, &seen);
        }
    }

    fn tick(&mut self, engine: &mut Engine) {
        let policy = self.process.policy.load();
        engine.thresholds = policy.thresholds;
        engine.sensitive = policy.sensitive.clone();
        self.process.wall.load().save(false);
        self.save(false);
        self.flush();
    }

    fn end(&mut self) {
        self.close();
    }
}

/// Goes on with what a file of findings holds.
fn take_up(process: &Process, settings: &Settings, kept: Kept) {
    let all = kept.findings.len();
    let mut findings = process.findings.lock();
    let taken = (kept.findings.into_iter())
        .filter_map(|finding| findings.restore(finding).then_some(()))
        .count();
    drop(findings);
    if all > 0 {
        tracing::info!("{taken} of {all} findings are known from before");
    }
    if kept.rules.is_empty() || !settings.lint {
        return;
    }
    let mut policy = process.policy.load().as_ref().clone();
    for one in &kept.rules {
        let name = match &*one.kind {
            "" => one.rule.clone(),
            kind => format!("{}:{kind}", one.rule),
        };
        match policy.change(one) {
            Ok(()) => tracing::info!(
                "SET RULE '{name}' ACTION '{}' holds again, until the next RELOAD",
                one.action
            ),
            Err(why) => tracing::warn!("SET RULE '{name}' of before does not hold: {why}"),
        }
    }
    process.policy.store(Arc::new(policy));
}

/// How long the server took.
fn took_us(report: &Report) -> u64 {
    report.seen.done_us.saturating_sub(report.seen.sent_us)
}

/// A slow statement that was seen waiting for a lock.
fn blamed(hit: &Hit, waited_us: u64) -> Hit {
    let (ms, said) = (waited_us / 1000, &hit.message);
    let message = format!("{said} It waited for a lock for at least {ms} ms of that.");
    let mut hit = hit.clone().evidence("lock_wait_ms", ms);
    hit.message = message.into();
    hit
}

impl Recorder {
    /// Notes which statements were seen waiting for locks. What took less time than a wait has to for
    /// anybody to see it is not looked up.
    fn look_up_waits(&mut self, batch: &[Report]) {
        self.waited.clear();
        let least_us = (self.process.policy.load().thresholds.lock_ms).saturating_mul(1000);
        for report in batch.iter().filter(|report| took_us(report) >= least_us) {
            let seen = &report.seen;
            let waits = self.process.waits.lock();
            if let Some(us) = waits.of(seen.conn, seen.sent_us, seen.done_us) {
                self.waited.insert((seen.conn, took_us(report)), us);
            }
        }
    }

    /// Notes statements of which a comment says to which request they belong.
    fn traced(&self, batch: &[Report], config: &Config, now_us: u64) {
        let is_traced = |report: &&Report| matches!(&report.seen.event, Event::Executed(one) if one.traced().is_some());
        let mut traced = batch.iter().filter(is_traced).peekable();
        if traced.peek().is_none() {
            return;
        }
        let now = SystemTime::now();
        let share = config.settings.traces_per_thousand();
        let mut exemplars = self.process.exemplars.lock();
        for report in traced {
            let entry = config.databases.get(&*report.seen.subject.database);
            let user = entry
                .or(config.fallback.as_ref())
                .and_then(|entry| entry.user.as_deref());
            exemplars.note(&report.seen, user, now);
            if let Some(share) = share {
                spans::note(&self.process.spans, &report.seen, share, (now, now_us));
            }
        }
    }

    /// Lets a client know of a finding, unless it is acknowledged.
    fn tell(&self, client: u64, seen: &Seen<'_>) {
        let inboxes = &self.process.observer.inboxes;
        if !inboxes.has(client) {
            return;
        }
        let id = seen.id();
        let acknowledged = (self.process.findings.lock().find(&id))
            .is_some_and(|finding| finding.status(SystemTime::now()) == "acknowledged");
        if !acknowledged {
            inboxes.put(client, &id, || Letter::about(seen.hit));
        }
    }

    /// Keeps findings for a later process.
    fn save(&mut self, now_in_any_case: bool) {
        if let Some(file) = &mut self.file {
            let policy = self.process.policy.load_full();
            file.save(&self.process.findings, &policy, now_in_any_case);
        }
    }

    /// Writes what is left and waits for the disk.
    fn close(&mut self) {
        self.process.wall.load().save(true);
        self.save(true);
        if let Some(trail) = &mut self.trail
            && let Err(error) = trail.end()
        {
            tracing::error!(%error, "the end of the audit trail cannot be written");
        }
    }

    fn flush(&mut self) {
        if let Some(trail) = &mut self.trail {
            self.process.observer.tell_unwritten(trail.failed());
            let dropped = self.process.observer.dropped();
            trail.lose(dropped - std::mem::replace(&mut self.dropped, dropped));
        }
        if let Some(trail) = &mut self.trail
            && let Err(error) = trail.flush()
        {
            tracing::error!(%error, "the audit trail cannot be written");
        }
    }
}
