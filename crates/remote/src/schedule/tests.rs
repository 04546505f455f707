//! The schedule with a clock of its own.

use super::*;

const READ: Task = Task { key: 0, lane: Lane::Any, is_draw: false };

fn schedule(n: usize) -> Schedule {
    let names: Vec<String> = (0..n).map(|index| format!("http://host-{index}:8000/v1")).collect();
    Schedule::new(&names, Patience::default())
}

fn secs(seconds: f64) -> Time {
    Duration::from_secs_f64(seconds)
}

fn down(reached: bool) -> Option<Fault> {
    Some(Fault::Down { problem: "gone".into(), reached })
}

fn busy(wait: Option<f64>) -> Option<Fault> {
    Some(Fault::Busy { problem: "busy".into(), wait: wait.map(secs) })
}

fn broken() -> Option<Fault> {
    Some(Fault::broken("500"))
}

fn sent(schedule: &mut Schedule, now: Time) -> Vec<(TaskId, usize)> {
    std::iter::from_fn(|| schedule.next(now)).collect()
}

#[test]
fn the_requests_of_a_trace_have_one_home() {
    let mut schedule = schedule(4);
    let homes: Vec<usize> = (0..200).map(|key| schedule.home(key)).collect();
    for replica in 0..4 {
        let share = homes.iter().filter(|&&home| home == replica).count();
        assert!((25..75).contains(&share), "{share} of 200 at {replica}");
    }
    // When one is out, only its own requests move.
    schedule.out(2, secs(0.0));
    for (key, &home) in (0..200).zip(&homes) {
        let now = schedule.home(key);
        assert!(now != 2 && (home == 2 || now == home));
    }
}

#[test]
fn an_idle_replica_takes_what_another_has_no_room_for() {
    let mut schedule = schedule(2);
    let key = (0..).find(|&key| schedule.home(key) == 0).unwrap();
    for _ in 0..20 {
        schedule.add(Task { key, ..READ }, secs(0.0));
    }
    let taken = sent(&mut schedule, secs(0.0));
    let at = |replica: usize| taken.iter().filter(|(_, at)| *at == replica).count();
    assert_eq!((at(0), at(1)), (8, 8), "eight at home, eight stolen, four wait");
    let few = {
        let mut schedule = self::schedule(2);
        (0..5).for_each(|_| {
            schedule.add(Task { key, ..READ }, secs(0.0));
        });
        sent(&mut schedule, secs(0.0))
    };
    assert!(few.iter().all(|(_, at)| *at == 0), "nothing is stolen while there is room at home");
}

#[test]
fn the_number_at_once_finds_its_level() {
    // A server that takes ten at a time and asks the others for patience.
    let mut schedule = schedule(1);
    let mut now = secs(0.0);
    (0..4000).for_each(|_| {
        schedule.add(READ, secs(0.0));
    });
    let (mut n_done, mut n_busy, mut late) = (0, 0, Vec::new());
    while n_done < 4000 {
        now += secs(0.1);
        let batch = sent(&mut schedule, now);
        if n_done > 2000 {
            late.push(batch.len());
        }
        for (place, (id, _)) in batch.into_iter().enumerate() {
            let fault = if place < 10 { None } else { busy(None) };
            n_busy += usize::from(fault.is_some());
            n_done += usize::from(schedule.ended(id, fault, now) == After::Done);
        }
        assert!(now < secs(200.0), "{n_done} of 4000");
    }
    let mean = late.iter().sum::<usize>() as f64 / late.len() as f64;
    assert!((6.0..14.0).contains(&mean), "{mean} at once");
    assert!(n_busy < 1000, "{n_busy} asked for patience");
}

#[test]
fn a_replica_that_asks_for_patience_has_it() {
    let mut schedule = schedule(1);
    let id = schedule.add(READ, secs(0.0));
    assert_eq!(sent(&mut schedule, secs(0.0)), [(id, 0)]);
    assert_eq!(schedule.ended(id, busy(Some(30.0)), secs(1.0)), After::Again);
    let other = schedule.add(READ, secs(2.0));
    assert_eq!(schedule.next(secs(30.0)), None, "neither the request nor another one");
    let wake = schedule.wake(secs(30.0)).unwrap();
    assert!(wake >= secs(31.0) && wake <= secs(34.1), "{wake:?}");
    let mut after: Vec<TaskId> = sent(&mut schedule, secs(34.1)).into_iter().map(|(id, _)| id).collect();
    after.sort_unstable();
    assert!(after == [id, other] || after == [other], "{after:?}");
}

#[test]
fn hours_are_not_waited_for() {
    let mut schedule = schedule(1);
    let id = schedule.add(READ, secs(0.0));
    sent(&mut schedule, secs(0.0));
    assert!(matches!(schedule.ended(id, busy(Some(7200.0)), secs(1.0)), After::Failed(_)));
    assert!(schedule.stopped().unwrap().problem.contains("it asks to wait 7200 s"));
}

#[test]
fn what_fails_is_sent_again_a_few_times() {
    let mut schedule = schedule(1);
    let id = schedule.add(READ, secs(0.0));
    let mut now = secs(0.0);
    for attempt in 1..=4 {
        now += secs(10.0);
        assert_eq!(sent(&mut schedule, now), [(id, 0)], "attempt {attempt}");
        let after = schedule.ended(id, broken(), now);
        assert_eq!(after, if attempt < 4 { After::Again } else { After::Failed(Fault::broken("500")) });
        assert_eq!(schedule.next(now), None, "not at once");
    }
    assert_eq!(schedule.stopped(), None);
}

#[test]
fn failures_in_a_row_stop_everything() {
    let mut schedule = schedule(1);
    let refused =
        |problem: &str| Some(Fault::Refused { status: 400, problem: problem.into(), always: false });
    let ids: Vec<TaskId> = (0..20).map(|_| schedule.add(READ, secs(0.0))).collect();
    for (n, _) in ids.iter().enumerate() {
        let Some((id, _)) = schedule.next(secs(0.0)) else { break };
        let said = if n % 2 == 0 { "no such field" } else { "the context is too long" };
        assert!(matches!(schedule.ended(id, refused(said), secs(0.0)), After::Failed(_)));
    }
    let problem = &schedule.stopped().unwrap().problem;
    assert_eq!(
        problem,
        "8 requests in a row failed, the last because the server refused the request (400): no such field"
    );
}

#[test]
fn a_refusal_that_any_request_would_meet_stops_at_once() {
    let mut schedule = schedule(2);
    let id = schedule.add(READ, secs(0.0));
    schedule.add(READ, secs(0.0));
    sent(&mut schedule, secs(0.0));
    let refused = Fault::Refused { status: 401, problem: "no key".into(), always: true };
    assert!(matches!(schedule.ended(id, Some(refused), secs(0.0)), After::Failed(_)));
    assert_eq!(schedule.stopped().unwrap().problem, "the server refused the request (401): no key");
    assert_eq!(schedule.next(secs(1.0)), None);
}

#[test]
fn a_dead_replica_is_out_and_comes_back() {
    let mut schedule = schedule(2);
    let key = (0..).find(|&key| schedule.home(key) == 0).unwrap();
    let ids: Vec<TaskId> = (0..3).map(|_| schedule.add(Task { key, ..READ }, secs(0.0))).collect();
    assert_eq!(schedule.next(secs(0.0)), Some((ids[0], 0)));
    assert_eq!(schedule.ended(ids[0], down(false), secs(0.0)), After::Again);
    let others: Vec<usize> = sent(&mut schedule, secs(0.0)).into_iter().map(|(_, replica)| replica).collect();
    assert_eq!(others, [1, 1, 1], "its requests go to the other one");
    assert_eq!(schedule.probe_due(secs(0.0)), Some(0));
    assert_eq!(schedule.probe_due(secs(0.0)), None, "one probe at a time");
    schedule.probed(0, false, secs(0.1));
    assert_eq!(schedule.probe_due(secs(0.2)), None);
    assert_eq!(schedule.wake(secs(0.2)), Some(secs(0.6)));
    assert_eq!(schedule.probe_due(secs(0.6)), Some(0));
    schedule.probed(0, true, secs(0.7));
    let back = schedule.add(Task { key, ..READ }, secs(0.8));
    assert_eq!(schedule.next(secs(0.8)), Some((back, 0)));
    assert_eq!(schedule.loads()[0], (1, 4, true));
}

#[test]
fn when_all_are_away_the_run_waits_and_then_stops() {
    let mut schedule = schedule(2);
    schedule.add(READ, secs(0.0));
    for _ in 0..2 {
        let (id, _) = schedule.next(secs(1.0)).unwrap();
        assert_eq!(schedule.ended(id, down(false), secs(1.0)), After::Again);
    }
    assert_eq!(schedule.next(secs(1.0)), None);
    schedule.check(secs(60.0));
    assert_eq!(schedule.stopped(), None);
    schedule.check(secs(121.5));
    assert_eq!(
        schedule.stopped().unwrap().problem,
        "all 2 servers could not be reached for 120 s. Run the same command again to resume"
    );
}

#[test]
fn a_request_that_breaks_every_server_is_given_up() {
    let mut schedule = schedule(3);
    let id = schedule.add(READ, secs(0.0));
    let mut seen = Vec::new();
    for death in 1..=3 {
        let (_, replica) = schedule.next(secs(1.0)).unwrap();
        seen.push(replica);
        let after = schedule.ended(id, down(true), secs(1.0));
        assert_eq!(after == After::Again, death < 3);
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2]);
    assert_eq!(schedule.stopped(), None);
}

#[test]
fn a_draw_that_took_too_long_is_not_drawn_again() {
    let mut schedule = schedule(1);
    let slow = || Some(Fault::Slow { problem: "slow".into() });
    let draw = schedule.add(Task { is_draw: true, ..READ }, secs(0.0));
    assert_eq!(sent(&mut schedule, secs(0.0)), [(draw, 0)]);
    assert!(matches!(schedule.ended(draw, slow(), secs(9.0)), After::Failed(_)));
    // The replica is looked at before it is sent more.
    let read = schedule.add(READ, secs(10.0));
    assert_eq!(schedule.next(secs(10.0)), None);
    assert_eq!(schedule.probe_due(secs(10.0)), Some(0));
    schedule.probed(0, true, secs(10.0));
    assert_eq!(sent(&mut schedule, secs(10.0)), [(read, 0)]);
    assert_eq!(schedule.ended(read, slow(), secs(20.0)), After::Again);
}

#[test]
fn chosen_and_likely_tokens_never_run_together() {
    let mut schedule = schedule(1);
    let lanes = [Lane::Likely, Lane::Likely, Lane::Chosen, Lane::Any, Lane::Likely];
    let ids: Vec<TaskId> = lanes.iter().map(|&lane| schedule.add(Task { lane, ..READ }, secs(0.0))).collect();
    let numbers = |sent: Vec<(TaskId, usize)>| sent.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    assert_eq!(numbers(sent(&mut schedule, secs(0.0))), ids[..2]);
    schedule.ended(ids[0], None, secs(1.0));
    assert_eq!(schedule.next(secs(1.0)), None);
    schedule.ended(ids[1], None, secs(2.0));
    assert_eq!(numbers(sent(&mut schedule, secs(2.0))), ids[2..4]);
    schedule.ended(ids[2], None, secs(3.0));
    assert_eq!(numbers(sent(&mut schedule, secs(3.0))), ids[4..]);
}
