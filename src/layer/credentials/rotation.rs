//! Whose turn it is among the keys of one upstream. Pure, told the time.

use std::time::Duration;

use tokio::time::Instant;

/// Keys in rotation; one that was refused or limited rests.
#[derive(Debug)]
pub struct Rotation {
    resting_until: Vec<Option<Instant>>,
    next: usize,
}

impl Rotation {
    /// Rest of a key that the upstream refused.
    pub const REFUSED: Duration = Duration::from_secs(5 * 60);
    /// Rest of a key that was limited without word of how long.
    pub const LIMITED: Duration = Duration::from_secs(5);

    /// So many keys.
    #[must_use]
    pub fn new(keys: usize) -> Self {
        Rotation { resting_until: vec![None; keys], next: 0 }
    }

    /// The next key in turn that is awake and not among `tried`. If all others rest, the one that wakes
    /// first, so that a wrong guess about a key never makes an upstream useless; `None` if all were tried.
    pub fn pick(&mut self, now: Instant, tried: &[usize]) -> Option<usize> {
        let keys = self.resting_until.len();
        let order = (0..keys).map(|step| (self.next + step) % keys).filter(|key| !tried.contains(key));
        let is_awake = |key: &usize| self.resting_until[*key].is_none_or(|until| until <= now);
        let picked = match order.clone().find(is_awake) {
            Some(awake) => awake,
            // After a refusal a resting key is no better; before the first try somebody must go.
            None if tried.is_empty() => order.min_by_key(|key| self.resting_until[*key])?,
            None => return None,
        };
        self.next = picked + 1;
        Some(picked)
    }

    /// Lets a key rest.
    pub fn rest(&mut self, key: usize, now: Instant, wait: Duration) {
        if let Some(until) = self.resting_until.get_mut(key) {
            *until = Some(now + wait);
        }
    }

    /// The key was accepted.
    pub fn works(&mut self, key: usize) {
        if let Some(until) = self.resting_until.get_mut(key) {
            *until = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn keys_take_turns_and_resting_ones_are_spared() {
        let now = Instant::now();
        let mut rotation = Rotation::new(3);
        let turns: Vec<_> = (0..4).map(|_| rotation.pick(now, &[])).collect();
        assert_eq!(turns, [Some(0), Some(1), Some(2), Some(0)]);
        rotation.rest(1, now, Duration::from_secs(60));
        assert_eq!(rotation.pick(now, &[]), Some(2));
        assert_eq!(rotation.pick(now, &[2]), Some(0));
        assert_eq!(rotation.pick(now, &[0, 2]), None, "a resting key is no second try");
        assert_eq!(rotation.pick(now + Duration::from_secs(60), &[0, 2]), Some(1));
        for key in 0..3 {
            rotation.rest(key, now, Duration::from_secs(60 + key as u64));
        }
        assert_eq!(rotation.pick(now, &[]), Some(0), "somebody must go");
        assert_eq!(Rotation::new(0).pick(now, &[]), None);
    }
}
