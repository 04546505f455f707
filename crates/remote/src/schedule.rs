//! Which request goes to which replica, and when: a state machine without threads and without a clock.
//!
//! - A request has a home: the replica with the largest hash of its key and the replica's name (rendezvous hashing), so that all requests of
//!   a trace find the same prefix cache. Another replica takes it only when it has nothing of its own to do and the home has no room.
//! - How many requests a replica is sent at once finds its level: it grows with success, quickly until the replica first asks for patience,
//!   then by one in each round, and is cut by a third when it does (AIMD).
//! - A replica that cannot be reached is out; its requests go to the others; it is probed with growing pauses and comes back with few.
//! - Requests for chosen tokens and for the most likely ones never run together on a replica of a server that mixes them up
//!   ([`Lane`]).
//! - What cannot get better stops everything ([`Stopped`]): a refusal that any request would meet, too many failures in a row, all replicas
//!   away for too long.

use crate::fault::{Fault, Stopped};
use crate::retry::{self, Jitter, Patience};
use entrace_measure::seed::{fnv1a, mix};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Time since the pool began.
pub(crate) type Time = Duration;

/// A request.
pub(crate) type TaskId = u64;

/// What may run beside what on one replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Anything.
    Any,
    /// Not beside requests for chosen tokens.
    Likely,
    /// Not beside requests for the most likely tokens.
    Chosen,
}

/// What is to be sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task {
    /// Requests of the same key want the same replica.
    pub(crate) key: u64,
    pub(crate) lane: Lane,
    /// Whether completions are drawn, so that a request that took too long must not be sent again.
    pub(crate) is_draw: bool,
}

/// What follows from the end of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum After {
    /// It is done.
    Done,
    /// It will be sent again.
    Again,
    /// It has failed for good.
    Failed(Fault),
}

/// Requests at once, to begin with.
const FIRST_LIMIT: f64 = 8.0;
/// Most requests at once.
const MOST: f64 = 128.0;
/// Of the limit, what is left when a replica asks for patience.
const CUT: f64 = 2.0 / 3.0;
/// Shortest time between two cuts: requests that were sent before the first say nothing new.
const BETWEEN_CUTS: Duration = Duration::from_secs(2);
/// First pause between two probes of a replica that is out, and the longest.
const PROBES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// Times that a request may be what a server was busy with when it broke.
const MOST_DEATHS: u32 = 3;

struct Sent {
    replica: usize,
}

struct State {
    task: Task,
    attempts: u32,
    n_busy: u32,
    deaths: u32,
    sent: Option<Sent>,
}

enum Health {
    Alive,
    Out { since: Time, next_probe: Time, n_probes: u32, is_probed: bool },
}

struct Replica {
    hash: u64,
    health: Health,
    limit: f64,
    /// Whether it has asked for patience before.
    has_level: bool,
    n_sent: usize,
    n_likely: usize,
    n_chosen: usize,
    paused_until: Time,
    last_cut: Option<Time>,
    queue: VecDeque<TaskId>,
}

impl Replica {
    fn is_alive(&self) -> bool {
        matches!(self.health, Health::Alive)
    }

    fn has_room(&self, now: Time) -> bool {
        self.is_alive() && now >= self.paused_until && (self.n_sent as f64) < self.limit.floor().max(1.0)
    }

    fn admits(&self, lane: Lane) -> bool {
        match lane {
            Lane::Any => true,
            Lane::Likely => self.n_chosen == 0,
            Lane::Chosen => self.n_likely == 0,
        }
    }

    fn count(&mut self, lane: Lane, by: isize) {
        let add = |n: &mut usize| *n = n.saturating_add_signed(by);
        add(&mut self.n_sent);
        match lane {
            Lane::Any => {}
            Lane::Likely => add(&mut self.n_likely),
            Lane::Chosen => add(&mut self.n_chosen),
        }
    }
}

/// The state of all replicas and requests.
pub(crate) struct Schedule {
    replicas: Vec<Replica>,
    tasks: BTreeMap<TaskId, State>,
    /// Requests that wait for a time.
    later: Vec<(Time, TaskId)>,
    patience: Patience,
    jitter: Jitter,
    /// When a request was last answered, or there was none to answer.
    last_good: Time,
    failed_in_a_row: u32,
    next_id: TaskId,
    stopped: Option<Stopped>,
}

impl Schedule {
    /// `names` tell replicas apart, the same in every run.
    pub(crate) fn new(names: &[String], patience: Patience) -> Self {
        let replica = |name: &String| Replica {
            hash: mix(fnv1a(name.bytes())),
            health: Health::Alive,
            limit: FIRST_LIMIT,
            has_level: false,
            n_sent: 0,
            n_likely: 0,
            n_chosen: 0,
            paused_until: Time::ZERO,
            last_cut: None,
            queue: VecDeque::new(),
        };
        Self {
            replicas: names.iter().map(replica).collect(),
            tasks: BTreeMap::new(),
            later: Vec::new(),
            patience,
            jitter: Jitter::new(mix(fnv1a(names.iter().flat_map(|name| name.bytes())))),
            last_good: Time::ZERO,
            failed_in_a_row: 0,
            next_id: 0,
            stopped: None,
        }
    }

    /// Takes a request in.
    pub(crate) fn add(&mut self, task: Task, now: Time) -> TaskId {
        if self.tasks.is_empty() {
            self.last_good = now;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.tasks.insert(id, State { task, attempts: 0, n_busy: 0, deaths: 0, sent: None });
        self.enqueue(id);
        id
    }

    /// Forgets a request that was not sent; of one that was, whatever comes of it.
    pub(crate) fn forget(&mut self, id: TaskId) {
        if self.tasks.get(&id).is_some_and(|state| state.sent.is_none()) {
            self.tasks.remove(&id);
        }
    }

    /// Why nothing is sent any more.
    pub(crate) fn stopped(&self) -> Option<&Stopped> {
        self.stopped.as_ref()
    }

    /// Requests sent to each replica and not answered, how many it may be sent, and whether it is there.
    pub(crate) fn loads(&self) -> Vec<(usize, usize, bool)> {
        let load =
            |replica: &Replica| (replica.n_sent, replica.limit.floor().max(1.0) as usize, replica.is_alive());
        self.replicas.iter().map(load).collect()
    }

    fn home(&self, key: u64) -> usize {
        let weight = |index: &usize| mix(key ^ self.replicas[*index].hash);
        let alive = (0..self.replicas.len()).filter(|&index| self.replicas[index].is_alive());
        alive.max_by_key(weight).or_else(|| (0..self.replicas.len()).max_by_key(weight)).unwrap_or(0)
    }

    fn enqueue(&mut self, id: TaskId) {
        let Some(state) = self.tasks.get(&id) else { return };
        let home = self.home(state.task.key);
        self.replicas[home].queue.push_back(id);
    }

    /// What may be sent now, and where to.
    pub(crate) fn next(&mut self, now: Time) -> Option<(TaskId, usize)> {
        if self.stopped.is_some() {
            return None;
        }
        let due: Vec<TaskId> = self.later.iter().filter(|(at, _)| *at <= now).map(|(_, id)| *id).collect();
        self.later.retain(|(at, _)| *at > now);
        due.into_iter().for_each(|id| self.enqueue(id));
        let own = (0..self.replicas.len()).find_map(|replica| self.front(replica, replica, now));
        own.or_else(|| self.stolen(now))
    }

    /// The first request in the queue of one replica, if another, or the same, can take it.
    fn front(&mut self, queue: usize, replica: usize, now: Time) -> Option<(TaskId, usize)> {
        if !self.replicas[replica].has_room(now) {
            return None;
        }
        loop {
            let &id = self.replicas[queue].queue.front()?;
            let Some(state) = self.tasks.get_mut(&id) else {
                self.replicas[queue].queue.pop_front();
                continue;
            };
            let lane = state.task.lane;
            if !self.replicas[replica].admits(lane) {
                return None;
            }
            state.sent = Some(Sent { replica });
            self.replicas[queue].queue.pop_front();
            self.replicas[replica].count(lane, 1);
            return Some((id, replica));
        }
    }

    /// A request of the longest queue whose replica has no room, for one that has and whose own queue is empty.
    fn stolen(&mut self, now: Time) -> Option<(TaskId, usize)> {
        let idle: Vec<usize> = (0..self.replicas.len())
            .filter(|&index| self.replicas[index].has_room(now) && self.replicas[index].queue.is_empty())
            .collect();
        let full = (0..self.replicas.len()).filter(|&index| !self.replicas[index].has_room(now));
        let longest = full.max_by_key(|&index| self.replicas[index].queue.len())?;
        idle.into_iter().find_map(|index| self.front(longest, index, now))
    }

    /// A replica that is out and due to be probed, while there is something to send.
    pub(crate) fn probe_due(&mut self, now: Time) -> Option<usize> {
        if self.tasks.is_empty() {
            return None;
        }
        self.replicas.iter_mut().enumerate().find_map(|(index, replica)| match &mut replica.health {
            Health::Out { next_probe, is_probed, .. } if !*is_probed && *next_probe <= now => {
                *is_probed = true;
                Some(index)
            }
            _ => None,
        })
    }

    /// Takes note of a probe's result.
    pub(crate) fn probed(&mut self, index: usize, is_alive: bool, now: Time) {
        let replica = &mut self.replicas[index];
        if let Health::Out { since, n_probes, .. } = replica.health {
            if is_alive {
                replica.health = Health::Alive;
                replica.limit = replica.limit.clamp(1.0, 4.0);
                replica.paused_until = now;
                self.rehome();
            } else {
                let pause = PROBES.0.saturating_mul(1 << n_probes.min(8)).min(PROBES.1);
                replica.health =
                    Health::Out { since, next_probe: now + pause, n_probes: n_probes + 1, is_probed: false };
            }
        }
    }

    /// Takes note of how an attempt ended. `None` is an answer.
    pub(crate) fn ended(&mut self, id: TaskId, fault: Option<Fault>, now: Time) -> After {
        let Some(mut state) = self.tasks.remove(&id) else { return After::Done };
        let Some(Sent { replica }) = state.sent.take() else { return After::Done };
        let was_full = self.replicas[replica].n_sent as f64 + 1.0 > self.replicas[replica].limit.floor();
        self.replicas[replica].count(state.task.lane, -1);
        let Some(fault) = fault else {
            self.succeeded(replica, was_full, now);
            return After::Done;
        };
        let wait = self.wait_after(&mut state, replica, &fault, now);
        match wait {
            Some(wait) if self.stopped.is_none() => {
                self.tasks.insert(id, state);
                self.later.push((now + wait, id));
                After::Again
            }
            _ => {
                self.failed(&fault);
                After::Failed(fault)
            }
        }
    }

    fn succeeded(&mut self, index: usize, was_full: bool, now: Time) {
        self.last_good = now;
        self.failed_in_a_row = 0;
        let replica = &mut self.replicas[index];
        if was_full {
            let step = if replica.has_level { 1.0 / replica.limit } else { 1.0 };
            replica.limit = (replica.limit + step).min(MOST);
        }
    }

    /// How long to wait before the request is sent again; `None` if it is not.
    fn wait_after(
        &mut self,
        state: &mut State,
        replica: usize,
        fault: &Fault,
        now: Time,
    ) -> Option<Duration> {
        match fault {
            Fault::Busy { problem, wait } => {
                if let Some(wait) = wait.filter(|wait| *wait > self.patience.busy) {
                    self.stop(format!(
                        "{problem}; it asks to wait {} s. Run the same command again then",
                        wait.as_secs()
                    ));
                    return None;
                }
                self.cut(replica, now);
                state.n_busy += 1;
                let pause = match wait {
                    Some(wait) => retry::asked_for(*wait, &mut self.jitter),
                    None => retry::backoff(state.n_busy, &mut self.jitter),
                };
                if wait.is_some() {
                    self.replicas[replica].paused_until =
                        self.replicas[replica].paused_until.max(now + pause);
                }
                if now.saturating_sub(self.last_good) > self.patience.busy {
                    let secs = now.saturating_sub(self.last_good).as_secs();
                    self.stop(format!("{problem}; nothing was answered for {secs} s"));
                    return None;
                }
                Some(pause)
            }
            Fault::Down { reached, .. } => {
                self.out(replica, now);
                if *reached {
                    state.deaths += 1;
                    // A server that cannot be reached says nothing of the request; one that breaks each time it gets it does.
                    return (state.deaths < MOST_DEATHS).then_some(Duration::ZERO);
                }
                Some(Duration::ZERO)
            }
            Fault::Slow { .. } => {
                self.out(replica, now);
                state.attempts += 1;
                let may = !state.task.is_draw && state.attempts < self.patience.attempts.min(3);
                may.then_some(Duration::ZERO)
            }
            Fault::Broken { .. } | Fault::Wrong { .. } => {
                state.attempts += 1;
                (state.attempts < self.patience.attempts)
                    .then(|| retry::backoff(state.attempts, &mut self.jitter))
            }
            Fault::Refused { always: true, .. } => {
                self.stop(fault.to_string());
                None
            }
            Fault::Refused { .. } => None,
        }
    }

    fn cut(&mut self, index: usize, now: Time) {
        let replica = &mut self.replicas[index];
        replica.has_level = true;
        if replica.last_cut.is_none_or(|last| now >= last + BETWEEN_CUTS) {
            replica.last_cut = Some(now);
            replica.limit = (replica.limit.min(replica.n_sent as f64 + 1.0) * CUT).max(1.0);
        }
    }

    fn out(&mut self, index: usize, now: Time) {
        if self.replicas[index].is_alive() {
            self.replicas[index].health =
                Health::Out { since: now, next_probe: now, n_probes: 0, is_probed: false };
            self.rehome();
        }
    }

    /// Puts all requests that were not sent into the queues of their homes.
    fn rehome(&mut self) {
        let mut waiting: Vec<TaskId> =
            self.replicas.iter_mut().flat_map(|replica| std::mem::take(&mut replica.queue)).collect();
        waiting.sort_unstable();
        waiting.into_iter().for_each(|id| self.enqueue(id));
    }

    fn failed(&mut self, fault: &Fault) {
        let is_of_length = |problem: &str| problem.to_lowercase().contains("context");
        if matches!(fault, Fault::Refused { problem, .. } if is_of_length(problem)) {
            return;
        }
        self.failed_in_a_row += 1;
        if self.failed_in_a_row >= self.patience.failures {
            self.stop(format!("{} requests in a row failed, the last because {fault}", self.failed_in_a_row));
        }
    }

    fn stop(&mut self, problem: String) {
        self.stopped.get_or_insert(Stopped { problem });
    }

    /// Stops where all replicas have been away for too long.
    pub(crate) fn check(&mut self, now: Time) {
        if self.tasks.is_empty() || self.replicas.iter().any(|replica| replica.n_sent > 0) {
            return;
        }
        let since = self.replicas.iter().map(|replica| match replica.health {
            Health::Alive => None,
            Health::Out { since, .. } => Some(since),
        });
        let Some(last) = since.collect::<Option<Vec<Time>>>().and_then(|all| all.into_iter().max()) else {
            return;
        };
        // While there was nothing to send, nobody looked.
        let away = now.saturating_sub(last.max(self.last_good));
        if away >= self.patience.away {
            let secs = away.as_secs();
            let n = self.replicas.len();
            let who = if n == 1 { "the server".to_string() } else { format!("all {n} servers") };
            self.stop(format!(
                "{who} could not be reached for {secs} s. Run the same command again to resume"
            ));
        }
    }

    /// When there may be something to do though nothing comes back.
    pub(crate) fn wake(&self, now: Time) -> Option<Time> {
        if self.tasks.is_empty() {
            return None;
        }
        let later = self.later.iter().map(|(at, _)| *at);
        let paused = self.replicas.iter().filter(|r| !r.queue.is_empty()).map(|r| r.paused_until);
        let probes = self.replicas.iter().filter_map(|replica| match replica.health {
            Health::Out { next_probe, is_probed: false, .. } => Some(next_probe),
            _ => None,
        });
        later.chain(paused).chain(probes).filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests;
