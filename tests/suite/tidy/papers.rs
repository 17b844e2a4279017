//! The papers agree with the code: the tree in the README is the tree on disk, and every numbered
//! requirement of a specification is cited where it is met, or excepted with a reason.

use std::collections::{BTreeMap, BTreeSet};

use super::{judge, read, root, sources, tracked};

const TREE_BEGINS: &str = "<!-- tree -->";
const TREE_ENDS: &str = "<!-- /tree -->";

/// The specifications with numbered requirements: letter of the number, and where they are defined.
const SPECIFICATIONS: &[(char, &str)] = &[('P', "proto/PROTOCOL.md"), ('S', "proto/seal/SEALING.md")];

/// A reason shorter than this many words is none.
const REASON_WORDS_MIN: usize = 3;

#[test]
fn the_readme_shows_the_tree_as_it_is() {
    assert!(
        root().join("README.md").is_file(),
        "README.md is missing: write it, with the tree between markers"
    );
    let readme = read("README.md");
    let shown = drawn_tree(&readme);
    let real: BTreeSet<String> = tracked()
        .iter()
        .map(|path| path.split_once('/').map_or(path.clone(), |(top, _)| format!("{top}/")))
        .collect();
    let mut faults: Vec<_> = real.difference(&shown).map(|name| format!("not shown: {name}")).collect();
    faults.extend(shown.difference(&real).map(|name| format!("shown, but not tracked by git: {name}")));
    judge(
        &faults,
        "Correct the block between the tree markers of README.md: one line for each top-level entry.",
    );
}

#[test]
fn every_requirement_is_met_somewhere_or_excepted_with_a_reason() {
    let mut faults = Vec::new();
    for (letter, document) in SPECIFICATIONS.iter().filter(|(_, document)| root().join(document).is_file()) {
        let specification = Specification::parse(*letter, &read(document));
        let cited = citations(*letter);
        faults.extend(specification.faults.iter().map(|fault| format!("{document}: {fault}")));
        if specification.defined.is_empty() {
            faults.push(format!("{document}: defines no requirement"));
        }
        for number in specification.defined.iter().filter(|number| !cited.contains_key(*number)) {
            if !specification.excepted.contains(number) {
                faults.push(format!("{document}: [{letter}-{number}] is cited nowhere in the code"));
            }
        }
        for (number, path) in cited.iter().filter(|(number, _)| !specification.defined.contains(*number)) {
            faults.push(format!("{path}: cites [{letter}-{number}], which {document} does not define"));
        }
    }
    judge(
        &faults,
        "Cite the number in a comment where the code or a test meets it, or list it under a heading `Exceptions` \
         of the document with the reason.",
    );
}

/// The entries of the drawn tree: the first word of each line that is not indented.
fn drawn_tree(readme: &str) -> BTreeSet<String> {
    let begin = readme.find(TREE_BEGINS).map(|at| at + TREE_BEGINS.len());
    let end = readme.find(TREE_ENDS);
    let (Some(begin), Some(end)) = (begin, end) else {
        panic!("README.md has no tree between `{TREE_BEGINS}` and `{TREE_ENDS}`");
    };
    let block = readme.get(begin..end).expect("the tree's end marker comes after its beginning");
    let lines = block.lines().filter(|line| !line.starts_with("```") && !line.starts_with([' ', '\t']));
    lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// What a document says about its own numbers.
#[derive(Default)]
struct Specification {
    defined: BTreeSet<u32>,
    excepted: BTreeSet<u32>,
    faults: Vec<String>,
}

impl Specification {
    /// A requirement is defined by a line that begins with its number; under the heading `Exceptions`
    /// such a line excepts it instead.
    fn parse(letter: char, text: &str) -> Self {
        let mut found = Self::default();
        let mut among_exceptions = false;
        for line in text.lines() {
            let words = line.trim_start_matches(['#', '*', '-', '|', '>', ' ']);
            let first = numbers(letter, words).first().copied();
            let first = first.filter(|number| words.starts_with(&format!("[{letter}-{number}]")));
            match first {
                Some(number) if among_exceptions => {
                    found.excepted.insert(number);
                    if line.split_whitespace().count() <= REASON_WORDS_MIN {
                        found.faults.push(format!("[{letter}-{number}] is excepted without a reason"));
                    }
                }
                Some(number) if found.defined.insert(number) => {}
                Some(number) => found.faults.push(format!("[{letter}-{number}] is defined twice")),
                None if line.starts_with('#') => {
                    among_exceptions = words.to_lowercase().contains("exception")
                }
                None => {}
            }
        }
        let unknown = found.excepted.difference(&found.defined);
        let unknown: Vec<_> =
            unknown.map(|n| format!("[{letter}-{n}] is excepted but not defined")).collect();
        found.faults.extend(unknown);
        found
    }
}

/// Every number the Rust files cite, with the first file that does.
fn citations(letter: char) -> BTreeMap<u32, String> {
    let mut found = BTreeMap::new();
    for path in sources() {
        for number in numbers(letter, &read(&path)) {
            found.entry(number).or_insert_with(|| path.clone());
        }
    }
    found
}

/// The numbers of `[Z-12]` and its like in a text, in order.
fn numbers(letter: char, text: &str) -> Vec<u32> {
    let mark = format!("[{letter}-");
    text.match_indices(&mark)
        .filter_map(|(at, _)| text[at + mark.len()..].split_once(']')?.0.parse().ok())
        .collect()
}

#[test]
fn a_requirement_is_read_as_written() {
    let text = "# Frames\n**[Z-1]** Bounded, see [Z-2].\n## [Z-2] Order\n- [Z-3] Close.\n# Exceptions\n- [Z-3] not before two relays exist\n- [Z-9] no\n";
    let read = Specification::parse('Z', text);
    assert_eq!(read.defined, BTreeSet::from([1, 2, 3]));
    assert_eq!(read.excepted, BTreeSet::from([3, 9]));
    assert_eq!(read.faults.len(), 2, "Z-9 has no reason and is not defined: {:?}", read.faults);
}
