//! What a Prometheus page says.

use std::collections::{BTreeMap, BTreeSet};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

/// A recorder for the test's own thread, on which all of its gateway runs.
#[must_use]
pub fn recorder() -> (PrometheusRecorder, PrometheusHandle) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    (recorder, handle)
}

/// Name and labels to value; buckets and quantiles of histograms left out.
#[must_use]
pub fn series(page: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let lines = lines.filter_map(|line| line.rsplit_once(' '));
    lines.map(|(series, value)| (sorted(series), value.parse().unwrap())).collect()
}

/// The labels in the order of the alphabet.
fn sorted(series: &str) -> String {
    let Some((name, labels)) = series.split_once('{') else { return series.to_owned() };
    let labels: BTreeSet<&str> = labels.trim_end_matches('}').split(',').collect();
    format!("{name}{{{}}}", labels.into_iter().collect::<Vec<_>>().join(","))
}
