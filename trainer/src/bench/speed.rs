//! How long a picture takes: each network alone, and from bytes to verdict.
//!
//! Everything is timed in turns, one run of each in every round, on one thread: what slows the machine slows all of them.

use super::figures::Times;
use super::run::{Eye, Observer};
use super::subject::Subject;
use crate::dataset::Sample;
use crate::optimize::BenchmarkConfig;
use anyhow::{Context, Result, bail};
use engine::{Error, Session, Tensor};
use std::time::Instant;

/// A run that is timed again and again.
type Run<'a> = Box<dyn FnMut() -> Result<()> + 'a>;

/// Times of each subject, its networks' in `stages`, and the last from bytes to verdict; what was measured when somebody asked
/// to stop is kept if there was a timed round.
///
/// # Errors
/// If a network does not run, or a picture is not judged.
pub(super) fn time(
    subjects: &mut [&mut Subject],
    eye: &Eye,
    encoded: &[(Sample, Vec<u8>)],
    (config, observer): (&BenchmarkConfig, &Observer),
) -> Result<Vec<Option<Times>>> {
    let mut owners = Vec::new();
    let mut runs: Vec<Run> = Vec::new();
    for (index, subject) in subjects.iter_mut().enumerate() {
        let Subject { bundle, detector, .. } = &mut **subject;
        for (stage, description) in bundle.manifest().stages.iter().enumerate() {
            let onnx = bundle.content(&description.file).context("a network is missing")?;
            let mut session = Session::load(onnx)?;
            let shape = session.input_shape().to_vec();
            // Values that run through the range of normalised pictures.
            let values = (0..shape.iter().product()).map(|i: usize| (i as f32 * 0.37).sin() * 2.0).collect();
            let input = Tensor::from_vec(shape, values);
            owners.push((index, Some(stage)));
            runs.push(Box::new(move || Ok(session.run(&input).map(drop)?)));
        }
        let mut next = encoded.iter().cycle();
        owners.push((index, None));
        runs.push(Box::new(move || {
            let (sample, bytes) = next.next().context("no picture to time")?;
            match eye.judge_bytes(detector, sample, bytes)? {
                // What cannot show a face takes its time as well.
                Ok(_) | Err(Error::NotApplicable { .. }) => Ok(()),
                Err(error) => bail!("{}: {error}", sample.name()),
            }
        }));
    }
    let warm_ups = config.warmup_iterations;
    let rounds = warm_ups + config.benchmark_iterations.max(1);
    let mut times: Vec<Vec<f64>> = runs.iter().map(|_| Vec::new()).collect();
    observer.begin("speed", rounds);
    for round in 0..rounds {
        if observer.is_stopped() {
            break;
        }
        for (run, times) in runs.iter_mut().zip(&mut times) {
            let started = Instant::now();
            run()?;
            if round >= warm_ups {
                times.push(started.elapsed().as_secs_f64() * 1e3);
            }
        }
        observer.step();
    }
    drop(runs);
    let mut end_to_end = Vec::new();
    for ((subject, stage), times) in owners.into_iter().zip(times) {
        let times = Times::of(times);
        match stage {
            Some(stage) => subjects[subject].stages[stage].times = times,
            None => end_to_end.push(times),
        }
    }
    Ok(end_to_end)
}
