//! ONNX Runtime: the pinned library, its checks, and devices that are not there.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::PathBuf;

use bombyx_gpu::cache::Cache;
use bombyx_gpu::fetch::WheelSource;
use bombyx_gpu::python::Python;
use bombyx_gpu::runtime::{
    ExecutionProvider, ExecutionProviderError, Origin, Runtime, RuntimeError, SessionSettings, install, list,
    locate, package, verify,
};

#[test]
fn the_installed_library_is_the_pinned_one_and_is_listed() {
    let cache = support::cache();
    let library = install(&cache, &WheelSource::Index, &mut |_| {}).unwrap();
    assert_eq!(verify(&cache, &mut |_| {}).unwrap(), library);
    let listed = list(None, &cache);
    let installed = listed.iter().find(|candidate| candidate.origin == Origin::Cache).unwrap();
    assert_eq!((&installed.path, installed.minor, &installed.fault), (&library, Some(31), &None));
    // What is named goes before what is installed.
    assert_eq!(locate(Some(&library), &cache).unwrap().origin, Origin::Explicit);
}

#[test]
fn a_wheel_fetched_by_other_means_is_installed_without_an_index() {
    let [elsewhere, here] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let wheel = package().unwrap().wheel;
    let python = Python::find().unwrap();
    python.download(wheel.requirement, wheel.sha256, wheel.tag, elsewhere.path(), &mut |_| {}).unwrap();
    let is_wheel = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "whl");
    let file =
        fs::read_dir(elsewhere.path()).unwrap().map(|entry| entry.unwrap().path()).find(is_wheel).unwrap();
    let cache = Cache::at(here.path().to_owned());
    let library = install(&cache, &WheelSource::File(file.clone()), &mut |_| {}).unwrap();
    assert_eq!(verify(&cache, &mut |_| {}).unwrap(), library);
    assert!(file.exists(), "the user's file is not ours to delete");
    // The library alone: nothing else of the wheel, no leftovers of the work.
    assert_eq!(fs::read_dir(library.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn a_changed_library_is_found_by_verify() {
    let library = install(&support::cache(), &WheelSource::Index, &mut |_| {}).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let entry = library.parent().unwrap().file_name().unwrap();
    let copy = dir.path().join("runtimes").join(entry).join(library.file_name().unwrap());
    fs::create_dir_all(copy.parent().unwrap()).unwrap();
    let mut bytes = fs::read(&library).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&copy, bytes).unwrap();
    let error = verify(&Cache::at(dir.path().to_owned()), &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("SHA-256") && error.contains(&*copy.to_string_lossy()), "{error}");
}

#[test]
fn nothing_is_verified_where_nothing_is_installed() {
    let dir = tempfile::tempdir().unwrap();
    let error = verify(&Cache::at(dir.path().to_owned()), &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("cannot read it"), "{error}");
}

#[test]
fn a_process_keeps_to_one_library() {
    let runtime = support::runtime();
    let again = Runtime::load(runtime.library(), SessionSettings::default()).unwrap();
    assert_eq!(again.library(), runtime.library());
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join(runtime.library().file_name().unwrap());
    fs::copy(runtime.library(), &copy).unwrap();
    let error = Runtime::load(&copy, SessionSettings::default()).unwrap_err();
    assert!(matches!(error, RuntimeError::AlreadyLoaded { .. }), "{error}");
}

#[test]
fn a_device_that_is_not_there_is_never_replaced_by_the_processor() {
    let model = support::model("all-minilm-l6-v2");
    for execution_provider in ExecutionProvider::ALL {
        let settings = SessionSettings { execution_provider, ..SessionSettings::default() };
        let session = support::runtime().with_settings(settings).session(&model.graph());
        match session {
            Ok(_) => assert_eq!(execution_provider, ExecutionProvider::Cpu),
            Err(RuntimeError::ExecutionProvider(ExecutionProviderError::NotBuilt {
                execution_provider: named,
            })) => {
                assert_eq!(named, execution_provider);
                assert!(!cfg!(feature = "cuda") || execution_provider != ExecutionProvider::Cuda);
            }
            Err(error @ RuntimeError::ExecutionProvider(ExecutionProviderError::Refused { .. })) => {
                let text = error.to_string();
                assert!(
                    text.contains(execution_provider.as_str()) && text.contains("in this build"),
                    "{text}"
                );
            }
            Err(other) => panic!("{execution_provider}: {other}"),
        }
    }
}
