//! One part of a sweep, for one of many machines.

/// Which part of a sweep this process runs: every `of`-th run from `number` on, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepShard {
    /// Its number, from 0.
    pub number: usize,
    /// How many there are.
    pub of: usize,
}

impl SweepShard {
    /// Returns whether a run is of this shard.
    #[must_use]
    pub fn has(&self, place: usize) -> bool {
        place % self.of == self.number
    }

    /// Reads `I/N` with I from 0; or `N` alone, with I from a batch system's variable that `env` finds.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(text: &str, env: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse::<usize>().map_err(|_| format!("{text:?} is no number"));
        let shard = match text.split_once('/') {
            Some((at, of)) => Self { number: number(at)?, of: number(of)? },
            None => Self { number: from_batch_system(env)?, of: number(text)? },
        };
        if shard.number < shard.of {
            Ok(shard)
        } else {
            Err(format!("shard {}/{}: I counts from 0 to N - 1", shard.number, shard.of))
        }
    }
}

/// Returns the index that Slurm or Kubernetes gives to one of many equal tasks.
fn from_batch_system(env: impl Fn(&str) -> Option<String>) -> Result<usize, String> {
    let number = |name: &str| env(name).and_then(|text| text.trim().parse::<usize>().ok());
    if let Some(task) = number("SLURM_ARRAY_TASK_ID") {
        let first = number("SLURM_ARRAY_TASK_MIN").unwrap_or(0);
        return task.checked_sub(first).ok_or_else(|| format!("task {task} is below the first, {first}"));
    }
    number("JOB_COMPLETION_INDEX").ok_or_else(|| {
        "neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set; give the shard as I/N".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_cover_everything_once_and_read_the_batch_systems_variables() {
        let none = |_: &str| None;
        let shards: Vec<SweepShard> =
            (0..3).map(|i| SweepShard::parse(&format!("{i}/3"), none).expect("a shard")).collect();
        assert!((0..20).all(|run| shards.iter().filter(|shard| shard.has(run)).count() == 1));
        let slurm = |name: &str| match name {
            "SLURM_ARRAY_TASK_ID" => Some("6".to_owned()),
            "SLURM_ARRAY_TASK_MIN" => Some("1".to_owned()),
            _ => None,
        };
        assert_eq!(SweepShard::parse("8", slurm), Ok(SweepShard { number: 5, of: 8 }));
        let kubernetes = |name: &str| (name == "JOB_COMPLETION_INDEX").then(|| "2".to_owned());
        assert_eq!(SweepShard::parse("4", kubernetes), Ok(SweepShard { number: 2, of: 4 }));
        for wrong in ["3/3", "x/2", "4", "0/0"] {
            assert!(SweepShard::parse(wrong, none).is_err(), "{wrong}");
        }
    }
}
