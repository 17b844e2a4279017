//! Opening a store: reads what every segment says, makes the index of it, and begins a new segment under a new key.
//!
//! A wrong key says so and touches nothing. Damage is reported and passed by: what is whole is served.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use tokio::sync::watch;
use valise_host::files::Files;
use valise_host::ledger::StoreError;
use valise_host::machine::Machine;
use valise_host::planted::Planted;
use valise_host::rest::{RestKey, Sealer};

use super::collect::Collector;
use super::index::Index;
use super::keeper::Keeper;
use super::label::{self, Label};
use super::names;
use super::notes::Notes;
use super::reader::Reader;
use super::replay::replay;
use super::scan::{Scanned, scan, settle};
use super::segment::{Found, Segment, Stream, find};
use super::shape::Shape;
use super::sidecar;
use super::store::Store;
use super::writer::{Common, Writer};
use crate::queue::Stamp;

/// What lies in the directory of a store.
pub(super) struct Laid {
    pub(super) label: Label,
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) side_cars: Vec<u32>,
    pub(super) spares: Vec<PathBuf>,
    /// Segments that cannot be read at all, by file.
    pub(super) unreadable: Vec<(PathBuf, &'static str)>,
    highest: u32,
}

/// What a segment says, and what is missing of it when its records had to be read.
pub(super) struct Told {
    pub(super) notes: Notes,
    pub(super) scanned: Option<Scanned>,
}

/// Reads what lies there; changes nothing. `None` when there is no store yet.
pub(super) fn lay(files: &dyn Files, dir: &Path, sealers: &[Sealer]) -> Result<Option<Laid>, StoreError> {
    let io = |doing| {
        let path = dir.to_owned();
        move |source| StoreError::Io { path, doing, source }
    };
    let mut listed = files.list(dir).map_err(io("list"))?;
    listed.sort_unstable();
    let segments: Vec<u32> = listed.iter().filter_map(|name| names::segment_number(name)).collect();
    let Some(label) = label::find(files, dir, sealers)? else {
        if segments.is_empty() {
            return Ok(None);
        }
        let what = "its label is gone while its segments are still there".to_owned();
        return Err(StoreError::Damaged { path: dir.to_owned(), what });
    };
    let numbered = |number: fn(&str) -> Option<u32>| listed.iter().filter_map(move |name| number(name));
    let spare = |name: &&String| names::spare_number(name).is_some() || names::is_spare_new(name);
    let spares = listed.iter().filter(spare).map(|name| dir.join(name));
    let side_cars: Vec<u32> = numbered(names::side_car_number).collect();
    let highest = segments.iter().chain(&side_cars).copied().max().unwrap_or(0);
    let mut laid = Laid {
        label,
        segments: Vec::new(),
        side_cars,
        spares: spares.collect(),
        unreadable: Vec::new(),
        highest,
    };
    for id in segments {
        let path = dir.join(names::segment(id));
        let file = files.open(&path).map_err(|source| StoreError::Io {
            path: path.clone(),
            doing: "open",
            source,
        })?;
        match find(&*file, sealers) {
            Ok(Found::Segment(header, key)) if header.store == laid.label.store && header.id == id => {
                laid.segments.push(Arc::new(Segment::new(header, &key, file)));
            }
            Ok(Found::Segment(..)) => laid.unreadable.push((path, "it is of another store")),
            Ok(Found::Blank) => laid.spares.push(path),
            Ok(Found::OtherKey) => {
                laid.unreadable.push((path, "its key is wrapped by a key that is not here"))
            }
            Ok(Found::Damaged) => laid.unreadable.push((path, "both copies of its header are damaged")),
            Err(source) => return Err(StoreError::Io { path, doing: "read", source }),
        }
    }
    Ok(Some(laid))
}

/// What one segment says: from its side-car or, when that does not hold, from its records.
pub(super) fn tell(files: &dyn Files, dir: &Path, segment: &Segment) -> io::Result<Told> {
    let path = dir.join(names::side_car(segment.header.id));
    let beside = match files.open(&path) {
        Ok(file) => sidecar::read(&*file, segment)?,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => None,
        Err(fault) => return Err(fault),
    };
    if let Some(notes) = beside {
        return Ok(Told { notes, scanned: None });
    }
    let (notes, scanned) = scan(segment, |_, _| {})?;
    Ok(Told { notes, scanned: Some(scanned) })
}

/// Opens the store in a directory, or makes it.
pub(super) fn open(
    dir: &Path,
    key: &RestKey,
    stamp: Arc<dyn Stamp>,
    machine: &Machine,
    shape: Shape,
    failed: watch::Sender<Option<String>>,
) -> Result<Store, StoreError> {
    let files = Arc::clone(&machine.files);
    let io = |doing| move |source| StoreError::Io { path: dir.to_owned(), doing, source };
    files.make_dir(dir).map_err(io("make the directory"))?;
    let locked = files.lock(&dir.join(names::LOCK)).map_err(io("lock"))?;
    let lock = locked.ok_or_else(|| StoreError::InUse { path: dir.to_owned(), pid: None })?;
    let sealer = Sealer::new(key, Arc::clone(&machine.entropy));
    let sealers = [sealer.clone()];
    let laid = match lay(&*files, dir, &sealers)? {
        Some(laid) => laid,
        None => {
            // The name of the directory itself: without it a power cut takes all within.
            let beside = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
            files.sync_dir(beside.unwrap_or(Path::new("."))).map_err(io("sync the directory above"))?;
            let label = label::make(&*files, dir, &sealer)?;
            Laid {
                label,
                segments: Vec::new(),
                side_cars: Vec::new(),
                spares: Vec::new(),
                unreadable: Vec::new(),
                highest: 0,
            }
        }
    };
    refuse_other_keys(dir, &laid)?;
    let reader = Arc::new(Reader::new(dir));
    laid.segments.iter().for_each(|segment| reader.add(Arc::clone(segment)));
    let mut index = Index::default();
    let read = read_all(&*files, dir, &laid, &mut index).map_err(io("read"))?;
    report(dir, &laid, &read.told);
    let (spares, orphans) = sort_spares(&*files, dir, &laid, shape).map_err(io("sort the files of"))?;
    orphans.iter().try_for_each(|path| files.remove(path)).map_err(io("remove files of"))?;
    let keeper = Keeper::new(&files, dir, shape, spares, machine.seats).map_err(io("start a thread for"))?;
    for segment in read.unnoted {
        keeper.side_car(segment, None);
    }
    let sequence = index.depth().sequence;
    let mut common = Common {
        files: Arc::clone(&files),
        dir: dir.to_owned(),
        store: laid.label.store,
        entropy: Arc::clone(&machine.entropy),
        sealer,
        reader,
        keeper,
        number: read.next_number,
        next_segment: laid.highest + 1,
        sequence,
    };
    let mut hot = Writer::new(Stream::Hot);
    if Planted::NonceReused.here() && read.last_hot.is_some() {
        hot.write_on(read.last_hot, &mut common);
    } else {
        hot.begin(&mut common)?;
    }
    common.keeper.restock();
    Ok(Store {
        path: dir.to_owned(),
        index: Arc::new(RwLock::new(index)),
        common,
        hot,
        cold: Writer::new(Stream::Cold),
        collector: Collector::default(),
        stamp,
        failed,
        commits: Arc::default(),
        watch: machine.watch.clone(),
        _lock: lock,
    })
}

/// Every key at once is missing: that is a wrong key, not damage. Nothing was touched.
fn refuse_other_keys(dir: &Path, laid: &Laid) -> Result<(), StoreError> {
    let other = laid.unreadable.iter().any(|(_, why)| why.contains("not here"));
    if other { Err(StoreError::WrongKey { path: dir.to_owned() }) } else { Ok(()) }
}

/// What was read of all segments.
#[derive(Default)]
struct ReadAll {
    next_number: u64,
    told: Vec<(u32, Scanned)>,
    /// Segments without a side-car.
    unnoted: Vec<Arc<Segment>>,
    /// The last segment of what came in, and its facts. For a planted fault alone.
    last_hot: Option<(Arc<Segment>, Notes)>,
}

fn read_all(files: &dyn Files, dir: &Path, laid: &Laid, index: &mut Index) -> io::Result<ReadAll> {
    let mut all = ReadAll::default();
    all.next_number = replay(&laid.segments, index, |segment| told(files, dir, segment, &mut all))?;
    Ok(all)
}

fn told(files: &dyn Files, dir: &Path, segment: &Arc<Segment>, all: &mut ReadAll) -> io::Result<Notes> {
    let Told { notes, scanned } = tell(files, dir, segment)?;
    if let Some(scanned) = &scanned {
        settle(segment, scanned)?;
    }
    if segment.header.stream == Stream::Hot && Planted::NonceReused.here() {
        all.last_hot = Some((Arc::clone(segment), notes.clone()));
    }
    if let Some(scanned) = scanned {
        all.unnoted.push(Arc::clone(segment));
        all.told.push((segment.header.id, scanned));
    }
    Ok(notes)
}

/// Says what is damaged, and what the machine's stop left behind.
fn report(dir: &Path, laid: &Laid, told: &[(u32, Scanned)]) {
    let store = dir.display();
    for (path, why) in &laid.unreadable {
        tracing::error!(event = "queue-damaged", %store, segment = %path.display(), why);
    }
    for (id, scanned) in told {
        if scanned.short > 0 {
            let segment = names::segment(*id);
            let why = format!("it is {} bytes too short", scanned.short);
            tracing::error!(event = "queue-damaged", %store, segment, why);
        }
        for lost in &scanned.lost {
            let segment = names::segment(*id);
            let why = format!("records {} to {} are lost", lost.start, lost.end - 1);
            tracing::error!(event = "queue-damaged", %store, segment, why);
        }
        if !scanned.torn.is_empty() {
            tracing::info!(event = "queue-tail-torn", %store, segment = names::segment(*id));
        }
    }
}

/// Spares under their own names; and the files that belong to nothing.
fn sort_spares(
    files: &dyn Files,
    dir: &Path,
    laid: &Laid,
    shape: Shape,
) -> io::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut spares, mut orphans) = (Vec::new(), Vec::new());
    for path in &laid.spares {
        // One that was being made when the machine stopped is not whole, one of another shape is of no use, and one
        // that was being retired lost its key and kept its name.
        let named = path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| names::spare_number(name).is_some());
        let whole = named && files.open(path)?.length()? == shape.segment_bytes;
        if whole { spares.push(path.clone()) } else { orphans.push(path.clone()) }
    }
    let has_segment = |id: &u32| laid.segments.iter().any(|segment| segment.header.id == *id);
    let alone = laid.side_cars.iter().filter(|id| !has_segment(id)).map(|id| dir.join(names::side_car(*id)));
    orphans.extend(alone);
    Ok((spares, orphans))
}
