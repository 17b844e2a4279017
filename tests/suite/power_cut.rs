//! Trial.
use valise_lab::queue::Ground;
use valise_lab::queue::grounds::{Log, Sqlite};
use valise_lab::queue::script::{Measure, Script};
use valise_lab::torture::power_cut::run::Run;

fn trial<G: Ground>(ground: impl Fn(u64) -> G) {
    for seed in 0..200 {
        let ground = ground(seed);
        let script = Script::draw(seed, Measure { letters: 40, sweeps: true, ..Measure::default() });
        let mut run = Run::new(&ground, &script, &script.ops, Vec::new(), true);
        let begun = std::time::Instant::now();
        let done = run.play_on();
        if seed < 3 {
            println!("{seed}: {} ops {:?} {:?}", script.ops.len(), run.counts, begun.elapsed());
        }
        if let Err(finding) = done {
            println!("{}\n{finding}", run.story.join("\n"));
            panic!("{seed}");
        }
    }
}

#[test]
fn the_model_is_a_queue() {
    trial(|seed| Sqlite::new(&format!("model-{seed}")).unwrap());
}

#[test]
fn the_log_is_a_queue() {
    trial(|_| Log::default());
}
