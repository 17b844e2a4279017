//! What the relay counts answers three questions: is mail moving, is anything stuck, what expires next. It names
//! nobody, and the page of its operator names every number that there is.

use std::collections::{BTreeMap, BTreeSet};

use valise_lab::papers;
use valise_lab::{Lab, eventually};

use crate::tidy::read;

/// Every line of the page by its name and labels; each line must be one of the format.
fn scraped(lab: &mut Lab) -> BTreeMap<String, f64> {
    let (status, text) = lab.relay().ask("/metrics").unwrap();
    assert_eq!(status, 200);
    let mut typed = BTreeSet::new();
    let mut found = BTreeMap::new();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            let (name, kind) = head.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(typed.insert(name.to_owned()), "{name} is stated twice");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
        } else if !line.starts_with("# HELP valise_relay_") {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            let base =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(typed.contains(base) || typed.contains(name), "{line} comes before its type");
            assert!(
                found.insert(series.to_owned(), value.parse().unwrap()).is_none(),
                "{series} is there twice"
            );
        }
    }
    found
}

fn of(page: &BTreeMap<String, f64>, series: &str) -> f64 {
    *page.get(&format!("valise_relay_{series}")).unwrap_or_else(|| panic!("{series} is not in {page:#?}"))
}

#[test]
fn they_tell_whether_mail_moves_and_what_is_stuck() {
    let mut lab = Lab::running(&["fr", "br", "minustah"]).unwrap();
    for party in ["br", "minustah"] {
        lab.party("fr").send(&[party, "--wait", "delivered"], "it moves").unwrap();
    }
    lab.party_mut("minustah").stop().unwrap();
    let held = lab.party("fr").send(&["minustah", "--wait", "relayed"], "it waits").unwrap();
    eventually("the receipts have gone to fr", || Ok(of(&scraped(&mut lab), "queue_receipts") == 0.0))
        .unwrap();

    let page = scraped(&mut lab);
    for (series, count) in [
        ("submissions_accepted_total", 3.0),
        ("submissions_refused_total{reason=\"not-permitted-or-unknown\"}", 0.0),
        ("deliveries_total", 2.0),
        ("deliveries_failed_total", 0.0),
        ("receipts_kept_total{kind=\"delivered\"}", 2.0),
        ("receipts_sent_total", 2.0),
        ("queue_entries", 1.0),
        ("queue_faults_total{reason=\"full\"}", 0.0),
        ("sessions", 2.0),
        ("sessions_opened_total", 3.0),
        ("sessions_ended_total{reason=\"BY_PEER\"}", 1.0),
        ("handshakes_refused_total{reason=\"TLS\"}", 0.0),
        ("roster_number", 1.0),
        ("draining", 0.0),
        ("check_state{check=\"store\"}", 0.0),
        ("revocation_lists{state=\"fresh\"}", 5.0),
        ("revocation_lists{state=\"late\"}", 0.0),
    ] {
        assert!(
            (of(&page, series) - count).abs() < f64::EPSILON,
            "{series}: {} and not {count}",
            of(&page, series)
        );
    }
    assert!(of(&page, "submitted_bytes_total") >= 3.0 * 272.0);
    assert!(of(&page, "delivered_bytes_total") >= 2.0 * 272.0);
    assert!(of(&page, "queue_oldest_age_seconds") > 0.0);
    let groups = of(&page, "commit_seconds_count");
    assert!(groups >= 5.0 && of(&page, "commit_operations_sum") >= groups, "{page:#?}");
    assert!(of(&page, "commit_seconds_bucket{le=\"10\"}") > 0.0 && of(&page, "commit_seconds_sum") > 0.0);

    // What expires next: the message in 30 days, as the certificates and lists of a lab do.
    let now = papers::now_ms() as f64 / 1000.0;
    for series in [
        "queue_next_expiry_timestamp_seconds",
        "certificate_expiry_timestamp_seconds{certificate=\"tls\"}",
        "revocation_list_next_update_timestamp_seconds",
    ] {
        let days = (of(&page, series) - now) / 86_400.0;
        assert!((29.0..31.0).contains(&days), "{series} in {days} days");
    }
    assert!(
        of(&page, "certificate_expiry_timestamp_seconds{certificate=\"signing\"}") > now + 300.0 * 86_400.0
    );

    lab.party_mut("minustah").start().unwrap();
    lab.party("fr").reaches(&held, "minustah", "delivered").unwrap();
    let page = scraped(&mut lab);
    assert!(
        of(&page, "queue_entries") + of(&page, "queue_oldest_age_seconds") < f64::EPSILON,
        "nothing is stuck"
    );
}

#[test]
fn they_name_nobody_and_the_operators_page_names_them_all() {
    let mut lab = Lab::running(&["zq-north", "zq-south"]).unwrap();
    lab.party("zq-north")
        .send(&["zq-south", "--wait", "delivered"], "who to whom is nobody's business")
        .unwrap();
    let (_, text) = lab.relay().ask("/metrics").unwrap();
    assert!(!text.contains("zq-") && !text.contains("gw1") && !text.contains("u1\""), "{text}");

    let shown: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned))
        .collect();
    let documented: BTreeSet<String> = read("relay/OPERATING.md")
        .lines()
        .filter_map(|line| {
            line.strip_prefix("| `valise_relay_")?
                .split(['`', '{'])
                .next()
                .map(|name| format!("valise_relay_{name}"))
        })
        .collect();
    let missing: Vec<_> = shown.difference(&documented).collect();
    assert!(missing.is_empty(), "relay/OPERATING.md does not name {missing:?}");
    // The next expiry is there only while something waits.
    let mut absent: Vec<_> = documented.difference(&shown).map(String::as_str).collect();
    absent.retain(|name| *name != "valise_relay_queue_next_expiry_timestamp_seconds");
    assert!(absent.is_empty(), "relay/OPERATING.md names {absent:?}, which are not there");
}
