//! Many requests to some replicas: threads and channels around a [`Schedule`].
//!
//! One thread owns the schedule. Workers block on one request each and tell it how that ended; there are as many as requests at once. A
//! caller opens a [`Conversation`], asks as much as it likes, and takes answers as they come; several conversations share the replicas.

use crate::fault::{Fault, Stopped};
use crate::retry::Patience;
use crate::schedule::{After, Lane, Schedule, Task, TaskId, Time};
use crate::wire::{Answer, Question};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Sends requests: the network, or a fake of it.
pub(crate) trait Transport: Send + Sync {
    /// One attempt at a question.
    fn ask(&self, replica: usize, question: &Question) -> Result<Answer, Fault>;
    /// Whether a replica is there.
    fn is_alive(&self, replica: usize) -> bool;
}

/// The state of a pool.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Standing {
    /// Requests that were sent and not answered.
    pub in_flight: usize,
    /// Requests that were answered.
    pub answered: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Of these, completions that were drawn again because the first attempt broke.
    pub redrawn: u64,
    /// Tokens of contexts.
    pub prompt_tokens: u64,
    /// Of these, tokens that the servers had in their caches, as far as they say.
    pub cached_tokens: u64,
    /// Tokens drawn.
    pub completion_tokens: u64,
    /// Of each replica.
    pub replicas: Vec<ReplicaStanding>,
}

/// The state of a replica.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReplicaStanding {
    /// Its address.
    pub name: String,
    /// Whether it can be reached, as far as is known.
    pub is_alive: bool,
    /// Requests that were answered.
    pub answered: u64,
    /// Seconds that they took together.
    pub busy_secs: f64,
}

impl ReplicaStanding {
    /// Mean time of a request.
    pub fn mean_secs(&self) -> Option<f64> {
        (self.answered > 0).then(|| self.busy_secs / self.answered as f64)
    }
}

impl Standing {
    /// A few words for a line of progress.
    pub fn describe(&self) -> String {
        let mut parts = vec![format!("{} requests in flight", self.in_flight)];
        if self.cached_tokens > 0 {
            let share = 100.0 * self.cached_tokens as f64 / self.prompt_tokens.max(1) as f64;
            parts.push(format!("{share:.0} % of prompts cached"));
        }
        if self.retries > 0 {
            parts.push(format!("{} retries", self.retries));
        }
        if self.redrawn > 0 {
            parts.push(format!("{} redrawn", self.redrawn));
        }
        parts.extend(self.replicas.iter().filter(|r| !r.is_alive).map(|r| format!("{} is away", r.name)));
        parts.extend(self.slow().map(|slow| format!("{} is slow", slow.name)));
        parts.join(", ")
    }

    /// The replica that takes more than twice as long as the quickest.
    fn slow(&self) -> Option<&ReplicaStanding> {
        let of = |replica: &ReplicaStanding| replica.mean_secs().filter(|_| replica.answered >= 5);
        let quickest = self.replicas.iter().filter_map(of).min_by(f64::total_cmp)?;
        let slow =
            self.replicas.iter().filter(|replica| of(replica).is_some_and(|secs| secs > 2.0 * quickest));
        slow.max_by(|a, b| of(a).unwrap_or(0.0).total_cmp(&of(b).unwrap_or(0.0)))
    }
}

/// Replicas of one model.
pub(crate) struct Pool {
    messages: Mutex<Sender<Message>>,
    standing: Arc<Mutex<Standing>>,
    keeper: Option<JoinHandle<()>>,
}

/// How a question ended.
pub(crate) type Ended = Result<Answer, Failure>;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Failure {
    /// For the sake of this question.
    Item(Fault),
    /// Nothing is answered any more.
    Stopped(Stopped),
}

/// Number of a question in its conversation.
type Number = usize;

enum Message {
    Ask {
        key: u64,
        lane: Lane,
        question: Arc<Question>,
        number: Number,
        conversation: u64,
        reply: Sender<(Number, Ended)>,
    },
    Attempted {
        task: TaskId,
        replica: usize,
        result: Result<Answer, Fault>,
        took: Duration,
    },
    Probed {
        replica: usize,
        is_alive: bool,
    },
    Forget {
        conversation: u64,
    },
    End,
}

enum Order {
    Ask { task: TaskId, replica: usize, question: Arc<Question> },
    Probe { replica: usize },
}

impl Pool {
    /// `names` are the addresses of the replicas, as `transport` numbers them.
    pub(crate) fn new(names: &[String], transport: Arc<dyn Transport>, patience: Patience) -> Self {
        let (messages, inbox) = channel();
        let replica =
            |name: &String| ReplicaStanding { name: name.clone(), is_alive: true, ..Default::default() };
        let standing = Standing { replicas: names.iter().map(replica).collect(), ..Default::default() };
        let standing = Arc::new(Mutex::new(standing));
        let keeper = Keeper {
            schedule: Schedule::new(names, patience),
            asked: BTreeMap::new(),
            workers: Workers::new(transport, messages.clone()),
            standing: Arc::clone(&standing),
            began: Instant::now(),
        };
        let keeper = std::thread::spawn(move || keeper.run(&inbox));
        Self { messages: Mutex::new(messages), standing, keeper: Some(keeper) }
    }

    /// Its state.
    pub(crate) fn standing(&self) -> Standing {
        locked(&self.standing).clone()
    }

    /// Opens a conversation.
    pub(crate) fn converse(&self) -> Conversation {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let id = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (reply, answers) = channel();
        Conversation { id, messages: locked(&self.messages).clone(), reply, answers, n_asked: 0, n_open: 0 }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // The keeper is gone only if it panicked, which its caller has been told by then.
        let _ = locked(&self.messages).send(Message::End);
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Questions of one caller, and their answers as they come. What is not answered when it is dropped is forgotten.
pub(crate) struct Conversation {
    id: u64,
    messages: Sender<Message>,
    reply: Sender<(Number, Ended)>,
    answers: Receiver<(Number, Ended)>,
    n_asked: usize,
    n_open: usize,
}

impl Conversation {
    /// Asks a question; questions of one key go to one replica. Returns its number, counted from 0.
    pub(crate) fn ask(&mut self, key: u64, lane: Lane, question: Question) -> Number {
        let number = self.n_asked;
        self.n_asked += 1;
        self.n_open += 1;
        let (conversation, reply) = (self.id, self.reply.clone());
        let message = Message::Ask { key, lane, question: Arc::new(question), number, conversation, reply };
        // Where nobody listens any more, `next` says so.
        let _ = self.messages.send(message);
        number
    }

    /// Questions without an answer.
    pub(crate) fn n_open(&self) -> usize {
        self.n_open
    }

    /// The next answer, whichever question it is to; `None` if none comes in time, or none is due.
    pub(crate) fn next(&mut self, wait: Duration) -> Option<(Number, Ended)> {
        if self.n_open == 0 {
            return None;
        }
        let answer = self.answers.recv_timeout(wait).ok()?;
        self.n_open -= 1;
        Some(answer)
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        let _ = self.messages.send(Message::Forget { conversation: self.id });
    }
}

/// A question that is being asked.
struct Asked {
    question: Arc<Question>,
    number: Number,
    conversation: u64,
    reply: Sender<(Number, Ended)>,
}

/// The thread that owns the schedule.
struct Keeper {
    schedule: Schedule,
    asked: BTreeMap<TaskId, Asked>,
    workers: Workers,
    standing: Arc<Mutex<Standing>>,
    began: Instant,
}

impl Keeper {
    /// Longest time between two looks at the schedule.
    const GLANCE: Duration = Duration::from_millis(250);

    fn run(mut self, inbox: &Receiver<Message>) {
        loop {
            let now = self.began.elapsed();
            let wait =
                self.schedule.wake(now).map_or(Self::GLANCE, |at| at.saturating_sub(now).min(Self::GLANCE));
            match inbox.recv_timeout(wait) {
                Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => {}
            }
            // What has come meanwhile is taken in before anything is sent.
            while let Ok(message) = inbox.try_recv() {
                match message {
                    Message::End => return,
                    message => self.take(message),
                }
            }
            self.send();
        }
    }

    fn take(&mut self, message: Message) {
        let now = self.began.elapsed();
        match message {
            Message::Ask { key, lane, question, number, conversation, reply } => {
                let is_draw = matches!(*question, Question::Draw(_));
                let task = self.schedule.add(Task { key, lane, is_draw }, now);
                self.asked.insert(task, Asked { question, number, conversation, reply });
            }
            Message::Attempted { task, replica, result, took } => {
                self.attempted(task, replica, result, took, now)
            }
            Message::Probed { replica, is_alive } => self.schedule.probed(replica, is_alive, now),
            Message::Forget { conversation } => {
                let of =
                    |(task, asked): (&TaskId, &Asked)| (asked.conversation == conversation).then_some(*task);
                let forgotten: Vec<TaskId> = self.asked.iter().filter_map(of).collect();
                for task in forgotten {
                    self.asked.remove(&task);
                    self.schedule.forget(task);
                }
            }
            Message::End => {}
        }
    }

    fn attempted(
        &mut self,
        task: TaskId,
        replica: usize,
        result: Result<Answer, Fault>,
        took: Duration,
        now: Time,
    ) {
        let after = self.schedule.ended(task, result.as_ref().err().cloned(), now);
        let is_draw = self.asked.get(&task).is_some_and(|asked| matches!(*asked.question, Question::Draw(_)));
        let mut standing = locked(&self.standing);
        if let Ok(answer) = &result {
            let usage = answer.usage();
            standing.answered += 1;
            standing.prompt_tokens += usage.prompt_tokens as u64;
            standing.cached_tokens += usage.cached_tokens.unwrap_or(0) as u64;
            standing.completion_tokens += usage.completion_tokens as u64;
            standing.replicas[replica].answered += 1;
            standing.replicas[replica].busy_secs += took.as_secs_f64();
        }
        let was_begun = !matches!(result, Err(Fault::Busy { .. } | Fault::Down { reached: false, .. }));
        if after == After::Again {
            standing.retries += 1;
            standing.redrawn += u64::from(is_draw && was_begun);
        }
        drop(standing);
        match (after, result) {
            (After::Done, Ok(answer)) => self.reply(task, Ok(answer)),
            (After::Failed(fault), _) => self.reply(task, Err(Failure::Item(fault))),
            _ => {
                // Nobody waits for it any more.
                if !self.asked.contains_key(&task) {
                    self.schedule.forget(task);
                }
            }
        }
    }

    fn reply(&mut self, task: TaskId, mut ended: Ended) {
        let Some(asked) = self.asked.remove(&task) else { return };
        if let (Err(_), Some(stopped)) = (&ended, self.schedule.stopped()) {
            ended = Err(Failure::Stopped(stopped.clone()));
        }
        // The caller may have gone.
        let _ = asked.reply.send((asked.number, ended));
    }

    fn send(&mut self) {
        let now = self.began.elapsed();
        self.schedule.check(now);
        if self.schedule.stopped().is_some() {
            let all: Vec<TaskId> = self.asked.keys().copied().collect();
            let stopped = self.schedule.stopped().cloned();
            for task in all {
                let ended = stopped.clone().map_or_else(
                    || Err(Failure::Item(Fault::broken("nothing is answered any more"))),
                    |stopped| Err(Failure::Stopped(stopped)),
                );
                self.reply(task, ended);
                self.schedule.forget(task);
            }
        }
        while let Some((task, replica)) = self.schedule.next(now) {
            let Some(asked) = self.asked.get(&task) else {
                self.schedule.ended(task, None, now);
                continue;
            };
            self.workers.give(Order::Ask { task, replica, question: Arc::clone(&asked.question) });
        }
        while let Some(replica) = self.schedule.probe_due(now) {
            self.workers.give(Order::Probe { replica });
        }
        let loads = self.schedule.loads();
        let mut standing = locked(&self.standing);
        standing.in_flight = loads.iter().map(|load| load.0).sum();
        for (replica, load) in standing.replicas.iter_mut().zip(loads) {
            replica.is_alive = load.2;
        }
    }
}

/// Threads that each block on one request.
struct Workers {
    transport: Arc<dyn Transport>,
    messages: Sender<Message>,
    orders: Sender<Order>,
    inbox: Arc<Mutex<Receiver<Order>>>,
    idle: Arc<Mutex<usize>>,
}

impl Workers {
    fn new(transport: Arc<dyn Transport>, messages: Sender<Message>) -> Self {
        let (orders, inbox) = channel();
        Self { transport, messages, orders, inbox: Arc::new(Mutex::new(inbox)), idle: Arc::default() }
    }

    /// Gives an order to a worker that has none, or to a new one.
    fn give(&self, order: Order) {
        let mut idle = locked(&self.idle);
        if *idle == 0 {
            self.hire();
        } else {
            *idle -= 1;
        }
        // The receiver lives as long as this.
        let _ = self.orders.send(order);
    }

    fn hire(&self) {
        let (transport, messages) = (Arc::clone(&self.transport), self.messages.clone());
        let (inbox, idle) = (Arc::clone(&self.inbox), Arc::clone(&self.idle));
        std::thread::spawn(move || {
            loop {
                let order = locked(&inbox).recv();
                let Ok(order) = order else { return };
                let message = carry_out(&*transport, order);
                *locked(&idle) += 1;
                if messages.send(message).is_err() {
                    return;
                }
            }
        });
    }
}

fn carry_out(transport: &dyn Transport, order: Order) -> Message {
    match order {
        Order::Ask { task, replica, question } => {
            let began = Instant::now();
            let result = transport.ask(replica, &question);
            Message::Attempted { task, replica, result, took: began.elapsed() }
        }
        Order::Probe { replica } => Message::Probed { replica, is_alive: transport.is_alive(replica) },
    }
}

#[cfg(test)]
mod tests;
