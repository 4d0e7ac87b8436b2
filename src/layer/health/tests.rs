use std::time::Duration;

use proptest::prelude::*;

use super::circuit::{Admission, Circuits, Extent, Failure, MOST_MODELS};
use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn broken(extent: Extent) -> Failure {
    Failure { extent, reason: "upstream_5xx", asked: None, most: Duration::MAX, is_enough: false }
}

fn busy(wait: Duration) -> Failure {
    Failure { asked: Some(wait), reason: "upstream_rate_limit", ..broken(Extent::Model) }
}

/// The n-th probe, of the model.
fn model(number: u64) -> Admission {
    Admission { whole: None, model: Some(number) }
}

/// The n-th probe, of the whole.
fn whole(number: u64) -> Admission {
    Admission { whole: Some(number), model: None }
}

fn failed(times: u32, extent: Extent, now: Instant) -> Circuits {
    let mut circuits = Circuits::new(BreakerPolicy::default());
    for _ in 0..times {
        circuits.failure("m", Admission::default(), now, &broken(extent));
    }
    circuits
}

#[tokio::test(start_paused = true)]
async fn three_failures_open_it_for_half_an_hour_and_one_probe_decides() {
    let now = Instant::now();
    let probes: [(Extent, fn(u64) -> Admission); 2] = [(Extent::Model, model), (Extent::Whole, whole)];
    for (extent, probe) in probes {
        assert_eq!(failed(2, extent, now).admit("m", now), Ok(Admission::default()));
        let mut circuits = failed(3, extent, now);
        assert_eq!(circuits.admit("m", now + 29 * MINUTE), Err(now + 30 * MINUTE));
        assert_eq!(circuits.admit("other", now).is_ok(), extent == Extent::Model, "another model");
        let later = now + 30 * MINUTE;
        assert_eq!(circuits.admit("m", later), Ok(probe(1)));
        assert!(circuits.admit("m", later).is_err(), "one probe, not two");
        circuits.failure("m", probe(1), later, &broken(extent));
        assert_eq!(circuits.admit("m", later + MINUTE), Err(later + 30 * MINUTE));
        let again = later + 30 * MINUTE;
        assert_eq!(circuits.admit("m", again), Ok(probe(2)));
        circuits.success("m", probe(2), again);
        assert_eq!(circuits.admit("m", again), Ok(Admission::default()));
        assert!(circuits.is_quiet());
        assert!(circuits.report(None, again).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_came_to_nothing_changes_nothing() {
    let now = Instant::now();
    let mut circuits = failed(3, Extent::Model, now);
    let later = now + 30 * MINUTE;
    let before = circuits.report(None, later);
    assert_eq!(circuits.admit("m", later), Ok(model(1)));
    circuits.give_back("m", model(1));
    assert_eq!(circuits.report(None, later), before);
    assert_eq!(circuits.admit("m", later), Ok(model(2)));
}

#[tokio::test(start_paused = true)]
async fn others_need_not_wait_for_the_end_of_a_probes_answer() {
    let now = Instant::now();
    let later = now + 30 * MINUTE;
    let mut circuits = failed(3, Extent::Model, now);
    circuits.admit("m", later).unwrap();
    circuits.begun("m", model(1));
    assert_eq!(circuits.admit("m", later), Ok(Admission::default()));
    circuits.failure("m", Admission::default(), later, &broken(Extent::Model));
    assert!(circuits.admit("m", later).is_err(), "an answer that breaks off opens it at once");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_fails_proves_that_the_upstream_can_be_reached() {
    let now = Instant::now();
    let later = now + 30 * MINUTE;
    let mut circuits = failed(3, Extent::Whole, now);
    assert_eq!(circuits.admit("m", later), Ok(whole(1)));
    circuits.failure("m", whole(1), later, &broken(Extent::Model));
    assert_eq!(circuits.admit("other", later), Ok(Admission::default()));
    // And the other way round: who cannot be reached says nothing about the model.
    let mut circuits = failed(3, Extent::Model, now);
    assert_eq!(circuits.admit("m", later), Ok(model(1)));
    circuits.failure("m", model(1), later, &broken(Extent::Whole));
    assert_eq!(circuits.admit("m", later), Ok(model(2)));
}

#[tokio::test(start_paused = true)]
async fn a_rest_that_was_asked_for_ends_by_itself_and_an_absurd_one_with_a_probe() {
    let now = Instant::now();
    let mut circuits = failed(0, Extent::Model, now);
    circuits.failure("m", Admission::default(), now, &busy(20 * MINUTE));
    assert_eq!(circuits.admit("m", now), Err(now + 20 * MINUTE));
    for _ in 0..2 {
        assert_eq!(circuits.admit("m", now + 20 * MINUTE), Ok(Admission::default()));
    }
    circuits.reset(None);
    circuits.failure("m", Admission::default(), now, &busy(Duration::MAX));
    assert_eq!(circuits.admit("m", now), Err(now + 30 * MINUTE));
    assert_eq!(circuits.admit("m", now + 30 * MINUTE), Ok(model(1)));
    assert!(circuits.admit("m", now + 30 * MINUTE).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_rest_says_why_since_when_and_until_when() {
    let now = Instant::now();
    let mut circuits = failed(2, Extent::Model, now);
    let later = now + MINUTE;
    let [closed] = &circuits.report(Some(2), later)[..] else { panic!() };
    assert_eq!((closed.state, closed.since), (BreakerState::Closed { failures: 2 }, now));
    circuits.failure("m", Admission::default(), later, &broken(Extent::Model));
    let open = BreakerReport {
        key: Some(2),
        model: Some("m".into()),
        state: BreakerState::Open { until: later + 30 * MINUTE },
        reason: "upstream_5xx",
        since: later,
    };
    assert_eq!(circuits.report(Some(2), later), [open]);
}

#[tokio::test(start_paused = true)]
async fn invented_model_names_do_not_fill_the_memory() {
    let now = Instant::now();
    let mut circuits = failed(3, Extent::Model, now);
    for n in 0..5_000 {
        circuits.failure(&format!("invented-{n}"), Admission::default(), now, &broken(Extent::Model));
    }
    assert!(circuits.report(None, now).len() <= MOST_MODELS);
    assert!(circuits.admit("m", now).is_err(), "what is resting stays known");
}

proptest! {
    #[test]
    fn never_two_probes(steps in proptest::collection::vec((0u8..9, 0u64..40), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let _guard = runtime.enter();
        let mut now = Instant::now();
        let mut circuits = Circuits::new(BreakerPolicy::default());
        // Calls that are not over, and whether nobody has ended every rest by hand since they began.
        let mut under_way: Vec<(Admission, bool)> = Vec::new();
        for (step, minutes) in steps {
            now += Duration::from_secs(60 * minutes);
            if step == 0 {
                under_way.extend(circuits.admit("m", now).ok().map(|admission| (admission, true)));
            } else if step == 8 {
                circuits.reset(None);
                under_way.iter_mut().for_each(|(_, is_of_now)| *is_of_now = false);
            } else if !under_way.is_empty() {
                // The oldest or the newest.
                let at = if minutes % 2 == 0 { 0 } else { under_way.len() - 1 };
                let (admission, _) = under_way.remove(at);
                match step {
                    1 => drop(circuits.failure("m", admission, now, &broken(Extent::Model))),
                    2 => drop(circuits.failure("m", admission, now, &broken(Extent::Whole))),
                    3 => circuits.success("m", admission, now),
                    4 => drop(circuits.failure("m", admission, now, &busy(40 * MINUTE))),
                    5 => circuits.begun("m", admission),
                    6 => circuits.reached("m", admission, now),
                    _ => circuits.give_back("m", admission),
                }
            }
            let of_now = || under_way.iter().filter(|(_, is_of_now)| *is_of_now);
            prop_assert!(of_now().filter(|(admission, _)| admission.model.is_some()).count() <= 1);
            prop_assert!(of_now().filter(|(admission, _)| admission.whole.is_some()).count() <= 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_from_before_a_reset_has_no_say_after_it() {
    let now = Instant::now();
    let later = now + 30 * MINUTE;
    let mut circuits = failed(3, Extent::Whole, now);
    assert_eq!(circuits.admit("m", later), Ok(whole(1)));
    circuits.reset(None);
    for _ in 0..3 {
        circuits.failure("m", Admission::default(), later, &broken(Extent::Whole));
    }
    let again = later + 30 * MINUTE;
    assert_eq!(circuits.admit("m", again), Ok(whole(2)));
    circuits.give_back("m", whole(1));
    assert!(circuits.admit("m", again).is_err(), "the probe of now is still under way");
    circuits.success("m", whole(1), again);
    assert!(circuits.admit("m", again).is_err(), "nothing is known of now");
}
