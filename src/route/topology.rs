//! Who is the primary, who follows it, and how far.
//!
//! Each server is asked again and again who it is. What it says becomes its [`Standing`] by these
//! rules:
//!
//! - A server in recovery is a replica, one that is not claims to be the primary.
//! - The system identifier of the first primary is the cluster's; a server with another one is
//!   a stranger: its data are not ours.
//! - Of several claims the one on the highest timeline is believed, since each promotion begins a
//!   new timeline. A server that claims to be the primary on an older timeline than the cluster
//!   has reached missed a promotion: it is fenced, even if nobody else answers. On equal timelines
//!   the primary stays who it is.
//! - A timeline counts as reached if anybody is on it, a replica too.
//! - Nobody is believed before each server has answered or failed to once: the one that was not heard yet
//!   may be on the highest timeline.
//! - A server that does not answer keeps nothing but its place. The primary stays the primary until
//!   another one claims to be it: its connections tell by themselves whether it is there.
//!
//! **Freshness.** Reports of a primary carry its write position and the moment at which it was
//! asked. A replica that has replayed up to that position shows everything that was committed before
//! that moment. [`Server::fresh_as_of`] is the latest such moment.
//!
//! Source: PostgreSQL manual, "High Availability, Load Balancing, and Replication"; timelines in
//! "Continuous Archiving and Point-in-Time Recovery".

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::ban::Ban;
use crate::config::member::{Member, Role};

/// What a server says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// When it was asked, at the latest.
    pub asked: Instant,
    /// How long the answer took.
    pub latency: Duration,
    /// Number of the cluster that its data are of.
    pub system: u64,
    /// Its timeline.
    pub timeline: u32,
    /// It is in recovery: a replica.
    pub in_recovery: bool,
    /// How far the write-ahead log is written (a primary) or replayed (a replica), in bytes.
    pub position: u64,
}

/// What a server counts as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It was not asked yet.
    #[default]
    Unknown,
    /// It does not answer.
    Down,
    /// Writes go there.
    Primary,
    /// It follows.
    Replica,
    /// It claims to be the primary, and is not believed.
    Fenced,
    /// It has the data of another cluster.
    Stranger,
}

impl Standing {
    /// As SHOW has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::Unknown => "unknown",
            Standing::Down => "down",
            Standing::Primary => "primary",
            Standing::Replica => "replica",
            Standing::Fenced => "fenced",
            Standing::Stranger => "stranger",
        }
    }
}

/// What the configuration says of a server's part in the reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// See [`Member::weight`].
    pub weight: u32,
    /// It stands in the zone of this process, or nobody said where this process stands.
    pub near: bool,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            weight: 1,
            near: true,
        }
    }
}

/// One server of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// Its part in the reads.
    pub share: Share,
    /// It was gone, and has been a replica again since this moment.
    pub back_since: Option<Instant>,
    /// What it counts as.
    pub standing: Standing,
    /// It failed: the ban that is in force, or the last one.
    pub ban: Option<Ban>,
    /// What it said last, if it answers.
    pub report: Option<Report>,
    /// A replica shows all that was committed before this moment.
    pub fresh_as_of: Option<Instant>,
    /// Why it does not answer, or is not believed.
    pub reason: Box<str>,
}

impl Server {
    /// Why it is left alone at `now`, if it is.
    #[must_use]
    pub fn banned(&self, now: Instant) -> Option<&Ban> {
        self.ban.as_ref().filter(|ban| ban.lasts(now))
    }

    /// How old what it shows may be at `now`; `None` if nothing is known.
    #[must_use]
    pub fn lag(&self, now: Instant) -> Option<Duration> {
        (self.fresh_as_of).map(|fresh| now.saturating_duration_since(fresh))
    }
}

/// A cluster at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// In the order of the configuration.
    pub servers: Vec<Server>,
    /// Where writes go, if it is known.
    pub primary: Option<usize>,
    /// Rises when another server becomes the primary.
    pub epoch: u64,
}

impl View {
    /// How many bytes of the write-ahead log a replica lacks.
    #[must_use]
    pub fn lag_bytes(&self, server: usize) -> Option<u64> {
        let position = |at: usize| Some(self.servers.get(at)?.report?.position);
        let written = end_of_records(position(self.primary?)?);
        Some(written.saturating_sub(position(server)?))
    }
}

/// Positions of the primary that replicas are compared with.
const MARKS: usize = 256;

/// Bytes of a page of the write-ahead log, and of the longest header of one.
const PAGE: u64 = 8192;
/// See [`PAGE`].
const HEADER: u64 = 40;

/// Where the last record ends if the next one will be written at `position`. Right behind the header
/// of a page that is the end of the page before, and a replica that has replayed everything says so.
/// A record that goes on behind the header began on the page before: who has not replayed it has not
/// come to this page.
#[must_use]
pub fn end_of_records(position: u64) -> u64 {
    match position % PAGE {
        within @ 0..=HEADER => position - within,
        _ => position,
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Topology {
    view: View,
    /// Every server has answered or failed to once.
    complete: bool,
    /// The cluster's system identifier and the highest timeline seen.
    system: Option<u64>,
    timeline: u32,
    /// Moments and positions of the primary, the older first.
    marks: VecDeque<(Instant, u64)>,
    /// Servers that must not be the primary, whatever they say.
    barred: Vec<bool>,
}

impl Topology {
    /// A cluster of these servers, of which nothing is known; the process stands in `zone`.
    #[must_use]
    pub fn new(members: &[Member], zone: &str) -> Self {
        let mut topology = Self::default();
        (topology.view.servers).resize_with(members.len(), Server::default);
        topology.configure(members, zone);
        topology
    }

    /// Takes in what the configuration says of the same servers now: their parts in the reads, and who may be the
    /// primary.
    pub fn configure(&mut self, members: &[Member], zone: &str) {
        let told = members.iter().any(|member| member.role == Role::Primary);
        let barred: Vec<bool> = (members.iter())
            .map(|member| match member.role {
                Role::Primary => false,
                Role::Auto => told,
                Role::Replica => true,
            })
            .collect();
        if barred != self.barred {
            self.barred = barred;
            if self.complete {
                self.judge_all();
            }
        }
        for (server, member) in self.view.servers.iter_mut().zip(members) {
            server.share = Share {
                weight: member.weight,
                near: zone.is_empty() || *member.zone == *zone,
            };
        }
    }

    /// Whether the configuration keeps this server from being the primary.
    #[must_use]
    pub fn is_barred(&self, at: usize) -> bool {
        self.barred.get(at).copied().unwrap_or_default()
    }

    /// What is known now.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Takes in what a server said, or why it does not answer. Returns whether another server has
    /// become the primary.
    pub fn heard(&mut self, at: usize, said: Result<Report, Box<str>>) -> bool {
        let before = self.view.primary;
        let Some(server) = self.view.servers.get_mut(at) else {
            return false;
        };
        match said {
            Err(reason) => {
                *server = Server {
                    share: server.share,
                    ban: server.ban.take(),
                    standing: Standing::Down,
                    reason,
                    ..Server::default()
                };
            }
            Ok(report) => {
                server.report = Some(report);
                server.reason = Box::default();
                if self.complete {
                    self.judge(at, report);
                }
            }
        }
        if !self.complete {
            self.judge_all_if_all_were_heard();
        }
        self.view.primary != before
    }

    /// Who claims to be the primary on the highest timeline is judged first.
    fn judge_all_if_all_were_heard(&mut self) {
        let heard = |server: &Server| server.report.is_some() || server.standing == Standing::Down;
        if !self.view.servers.iter().all(heard) {
            return;
        }
        self.complete = true;
        self.judge_all();
    }

    /// What all said last is judged again.
    fn judge_all(&mut self) {
        let servers = self.view.servers.iter().enumerate();
        let mut said: Vec<(usize, Report)> = servers
            .filter_map(|(at, server)| Some((at, server.report?)))
            .collect();
        said.sort_by_key(|(_, report)| (report.in_recovery, std::cmp::Reverse(report.timeline)));
        for (at, report) in said {
            self.judge(at, report);
        }
    }

    fn judge(&mut self, at: usize, report: Report) {
        if let Some(system) = self.system.filter(|&system| system != report.system) {
            let (standing, other) = (Standing::Stranger, report.system);
            let reason = format!("its data are of cluster {other}, not {system}");
            self.stand(at, standing, reason);
            if self.view.primary == Some(at) {
                self.view.primary = None;
            }
            return;
        }
        if report.in_recovery {
            if self.view.primary == Some(at) {
                // Demoted; nobody is the primary until somebody says so.
                self.view.primary = None;
            }
            self.stand(at, Standing::Replica, "");
            if self.system.is_some() && report.timeline > self.timeline {
                self.timeline = report.timeline;
                self.fence_the_overtaken();
            }
            self.freshen(at, report);
            return;
        }
        if self.is_barred(at) {
            let reason = "it claims to be the primary, which its role in the configuration forbids";
            self.stand(at, Standing::Fenced, reason);
            if self.view.primary == Some(at) {
                self.view.primary = None;
            }
            return;
        }
        let followed = (self.view.servers.iter())
            .filter_map(|server| server.report)
            .filter(|one| one.in_recovery && one.system == report.system)
            .map(|one| one.timeline)
            .max();
        self.timeline = self.timeline.max(followed.unwrap_or_default());
        if report.timeline < self.timeline {
            self.fence(at, report.timeline);
            return;
        }
        match self.view.primary {
            Some(known) if known != at && report.timeline == self.timeline => {
                let reason = "another server is the primary on the same timeline";
                self.stand(at, Standing::Fenced, reason);
            }
            known => self.believe(at, known, report),
        }
    }

    /// A replica follows a later promotion than the primary's own.
    fn fence_the_overtaken(&mut self) {
        let Some(known) = self.view.primary.take() else {
            return;
        };
        if let Some(report) = self
            .view
            .servers
            .get(known)
            .and_then(|server| server.report)
        {
            self.fence(known, report.timeline);
        }
    }

    /// `at` missed a promotion.
    fn fence(&mut self, at: usize, timeline: u32) {
        let newest = self.timeline;
        let reason = format!(
            "it claims to be the primary on timeline {timeline}, and the cluster has reached {newest}"
        );
        self.stand(at, Standing::Fenced, reason);
        self.view.primary = self.view.primary.filter(|&primary| primary != at);
    }

    /// `at` is the primary.
    fn believe(&mut self, at: usize, known: Option<usize>, report: Report) {
        if known != Some(at) {
            if let Some(old) = known {
                let reason = format!("a server on timeline {} is the primary", report.timeline);
                self.stand(old, Standing::Fenced, reason);
            }
            self.view.primary = Some(at);
            self.view.epoch += 1;
            // Positions on another timeline are not to be compared with.
            self.marks.clear();
            for server in &mut self.view.servers {
                server.fresh_as_of = None;
            }
        }
        self.system.get_or_insert(report.system);
        self.timeline = report.timeline;
        self.stand(at, Standing::Primary, "");
        if self.marks.len() == MARKS {
            self.marks.pop_front();
        }
        self.marks
            .push_back((report.asked, end_of_records(report.position)));
        // Replicas that answered before may have come that far already.
        for at in 0..self.view.servers.len() {
            let replica = self.view.servers.get(at);
            let replica = replica.filter(|server| server.standing == Standing::Replica);
            if let Some(report) = replica.and_then(|server| server.report) {
                self.freshen(at, report);
            }
        }
    }

    /// What a replica has replayed says up to which moment it shows everything.
    fn freshen(&mut self, at: usize, report: Report) {
        if report.timeline != self.timeline || self.view.primary.is_none() {
            // It follows somebody else, or has not followed yet.
            if let Some(server) = self.view.servers.get_mut(at) {
                server.fresh_as_of = None;
            }
            return;
        }
        let reached = (self.marks.iter().rev())
            .find(|(_, position)| *position <= report.position)
            .map(|(moment, _)| *moment);
        if let Some(server) = self.view.servers.get_mut(at) {
            server.fresh_as_of = server.fresh_as_of.max(reached);
        }
    }

    /// A replica failed somebody at `now`: it is left alone for a while. What is no replica is judged by what
    /// it says of itself alone. Returns whether this is news.
    pub fn failed(&mut self, at: usize, now: Instant, reason: &str) -> bool {
        let server = self.view.servers.get_mut(at);
        let Some(server) = server.filter(|server| server.standing == Standing::Replica) else {
            return false;
        };
        let before = server.ban.clone();
        server.ban = Some(Ban::after(server.ban.take(), now, reason));
        // Whoever had been warming up does so again.
        if let Some(ban) = &server.ban {
            server.back_since = Some(ban.until);
        }
        server.ban != before
    }

    fn stand(&mut self, at: usize, standing: Standing, reason: impl Into<Box<str>>) {
        if let Some(server) = self.view.servers.get_mut(at) {
            match (standing, server.standing) {
                (Standing::Replica, Standing::Replica | Standing::Unknown) => {}
                (Standing::Replica, _) => {
                    let asked = server.report.map(|report| report.asked);
                    let until = server.ban.as_ref().map(|ban| ban.until);
                    server.back_since = asked.max(until);
                }
                _ => (server.fresh_as_of, server.back_since) = (None, None),
            }
            server.standing = standing;
            server.reason = reason.into();
        }
    }
}

#[cfg(test)]
mod tests;
