//! The results side by side, and beside what was promised.

use hitless_lab::samples::{counts, mean, median, worst};
use hitless_lab::table::Table;
use hitless_lab::verdict::Verdicts;

use crate::contender::Contender;
use crate::trial::{Events, Outcome, Sum};

pub(crate) fn print(outcomes: &[Outcome]) {
    println!("\n{}", side_by_side(outcomes));
    println!("{}", verdicts(outcomes));
    let pulls = outcomes.first().map_or(0, |outcome| outcome.pulls.lost.len());
    println!(
        "  {pulls} pulls; numbered datagrams both ways, 500/s each, lost in either direction, counted at the receiver;\n  \
         bonding-200 is miimon 200, updelay 200, fail_over_mac active; bonding-100 and -1 are those miimon, fail_over_mac none"
    );
}

type Row = (&'static str, fn(&Outcome) -> String);

const ROWS: [Row; 18] = [
    ("cable pulled: lost, mean", |it| format!("{:.1}", mean(&counts(&it.pulls.lost)))),
    ("  median", |it| format!("{:.1}", median(&counts(&it.pulls.lost)))),
    ("  worst", |it| format!("{}", worst(&counts(&it.pulls.lost)))),
    ("  longest gap, ms", |it| format!("{:.0}", worst(&it.pulls.gap_ms))),
    ("  duplicated", |it| it.pulls.duplicated.to_string()),
    ("cable back: lost", |it| total(&it.plugs).to_string()),
    ("  longest gap, ms", |it| format!("{:.0}", worst(&it.plugs.gap_ms))),
    ("  duplicated", |it| it.plugs.duplicated.to_string()),
    ("nothing happens: lost on the wire : on the air", |it| {
        format!("{} : {}", total(&it.wire), total(&it.air))
    }),
    ("access point dies: gap, median, ms", |it| format!("{:.0}", median(&it.kills.gap_ms))),
    ("  lost, mean", |it| format!("{:.1}", mean(&counts(&it.kills.lost)))),
    ("  longest gap, ms", |it| format!("{:.0}", worst(&it.kills.gap_ms))),
    ("second station: lost, wire active", |it| of(it.station[2])),
    ("  lost at pulls : at plugs", |it| format!("{} : {}", it.station[0].lost, it.station[1].lost)),
    ("broadcasts: lost : twice, wire active", |it| {
        format!("{} : {}", it.broadcast[2].lost, it.broadcast[2].duplicated)
    }),
    ("  twice at pulls : at plugs", |it| {
        format!("{} : {}", it.broadcast[0].duplicated, it.broadcast[1].duplicated)
    }),
    ("TCP: longest stall, ms", |it| format!("{:.0}", it.stream_stall_ms)),
    ("senders' own longest pause, ms", |it| format!("{:.0}", it.pulls.noise_ms.max(it.kills.noise_ms))),
];

fn side_by_side(outcomes: &[Outcome]) -> Table {
    let mut titles = vec![""];
    titles.extend(outcomes.iter().map(|outcome| outcome.contender.name()));
    let mut table = Table::new(&titles);
    for (what, value) in ROWS {
        table.row(std::iter::once(what.to_owned()).chain(outcomes.iter().map(value)));
    }
    table
}

fn total(events: &Events) -> u64 {
    events.lost.iter().sum()
}

fn of(sum: Sum) -> String {
    format!("{} of {}", sum.lost, sum.sent)
}

fn verdicts(outcomes: &[Outcome]) -> Verdicts {
    let mut verdicts = Verdicts::new();
    for ours in outcomes.iter().filter(|outcome| is_ours(outcome)) {
        beside_bonding(&mut verdicts, ours, outcomes);
        by_itself(&mut verdicts, ours);
    }
    verdicts
}

fn is_ours(outcome: &Outcome) -> bool {
    matches!(outcome.contender, Contender::Ebpf | Contender::Kernel)
}

fn beside_bonding(verdicts: &mut Verdicts, ours: &Outcome, outcomes: &[Outcome]) {
    let name = ours.contender.name();
    let lost = |outcome: &Outcome| mean(&counts(&outcome.pulls.lost));
    for (contender, share, promised) in
        [(Contender::Bonding100, 1.0 / 3.0, "at most a third"), (Contender::Bonding1, 1.0, "not more")]
    {
        let Some(theirs) = outcomes.iter().find(|outcome| outcome.contender == contender) else { continue };
        let (mine, theirs) = (lost(ours), lost(theirs));
        verdicts.add(
            &format!("{name} : {}, mean lost per pull", contender.name()),
            format!("{mine:.1} : {theirs:.1}"),
            promised,
            mine <= theirs * share,
        );
    }
    // The best of them.
    let gap = |outcome: &Outcome| mean(&outcome.kills.gap_ms);
    let theirs = outcomes.iter().filter(|outcome| !is_ours(outcome)).map(gap).fold(f64::NAN, f64::min);
    if !theirs.is_nan() {
        verdicts.add(
            &format!("{name} : bonding, mean gap when the access point dies"),
            format!("{:.0} : {theirs:.0} ms", gap(ours)),
            "at most a fifth",
            gap(ours) <= theirs / 5.0,
        );
    }
}

fn by_itself(verdicts: &mut Verdicts, ours: &Outcome) {
    let name = ours.contender.name();
    let mut none = |what: &str, count: u64| {
        verdicts.add(&format!("{name}: {what}"), count.to_string(), "0", count == 0);
    };
    none("lost on all failbacks", total(&ours.plugs));
    none("duplicated on all failbacks", ours.plugs.duplicated);
    none("second station, lost while the wire is active", ours.station[2].lost);
    none("broadcasts that came twice while the wire is active", ours.broadcast[2].duplicated);
    let stream = ours.stream_broken.clone();
    verdicts.add(
        &format!("{name}: TCP stream"),
        stream.clone().unwrap_or_else(|| "lives".to_owned()),
        "lives",
        stream.is_none(),
    );
    let associations = ours.associations;
    verdicts.add(
        &format!("{name}: associations while the cable was pulled and plugged"),
        associations.to_string(),
        "1",
        associations == 1,
    );
}
