//! What must hold for a whole process: nothing is reported, nothing is written elsewhere, and what is missing is named.
//!
//! Every case is a process of its own, because it is about the environment the process starts with.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test without a harness"
)]

mod support;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bombyx_gpu::cache::{CACHE_VARIABLE, Cache};
use bombyx_gpu::fetch::WheelSource;
use bombyx_gpu::onnx::graph::{Dim, GraphBuilder, Node};
use bombyx_gpu::onnx::proto::ElementType;
use bombyx_gpu::runtime::{Runtime, SessionSettings, disable_telemetry, install, list};
use ort::value::TensorRef;

/// Tells a child which case it is; the parent has none.
const CASE: &str = "ISOLATION_CASE";
const LIBRARY: &str = "ISOLATION_LIBRARY";
const GRAPH: &str = "ISOLATION_GRAPH";

fn main() {
    match env::var(CASE).as_deref() {
        Ok("telemetry") => {
            disable_telemetry();
            run_a_session();
        }
        Ok("forgetful") => run_a_session(),
        Ok("install") => {
            if let Err(error) = install(&Cache::open().unwrap(), &WheelSource::Index, &mut |_| {}) {
                eprintln!("{error}");
            }
        }
        Ok("list") => {
            for candidate in list(None, &Cache::open().unwrap()) {
                println!("{}", candidate.path.display());
            }
        }
        Ok(other) => panic!("no case {other}"),
        Err(_) => {
            running_a_session_leaves_no_trace();
            println!("running_a_session_leaves_no_trace ... ok");
            without_telemetry_disabled_nothing_is_loaded();
            println!("without_telemetry_disabled_nothing_is_loaded ... ok");
            a_machine_without_python_is_told_so();
            println!("a_machine_without_python_is_told_so ... ok");
            a_machine_without_network_is_told_so();
            println!("a_machine_without_network_is_told_so ... ok");
            #[cfg(unix)]
            {
                what_lies_in_the_current_directory_is_not_run();
                println!("what_lies_in_the_current_directory_is_not_run ... ok");
            }
        }
    }
}

fn run_a_session() {
    let path = |name| PathBuf::from(env::var_os(name).unwrap());
    let runtime = match Runtime::load(&path(LIBRARY), SessionSettings::default()) {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{error}");
            return;
        }
    };
    let mut session = runtime.session(&path(GRAPH)).unwrap();
    let x = [1f32, 2., 3.];
    let outputs =
        session.run(ort::inputs!["x" => TensorRef::from_array_view(([3usize], x.as_slice())).unwrap()]);
    assert_eq!(outputs.unwrap()["y"].try_extract_tensor::<f32>().unwrap().1, [2., 4., 6.]);
    println!("ran");
}

/// This program again as `case`, with `home` as the only directory it knows of.
fn child(case: &str, home: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.env(CASE, case).current_dir(home).env_remove("ORT_DISABLE_TELEMETRY").env_remove(CACHE_VARIABLE);
    for variable in ["HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "LOCALAPPDATA", "TMPDIR"] {
        command.env(variable, home);
    }
    command
}

fn doubling_graph(dir: &Path) -> PathBuf {
    let mut graph = GraphBuilder::new("double");
    let shape = [Dim::Symbol("n")];
    let x = graph.input("x", ElementType::Float, &shape);
    let two = graph.f32_scalar("two", 2.0);
    let y = graph.add_named(Node::new("Mul", [&x, &two]), "y");
    graph.output(&y, ElementType::Float, &shape);
    let path = dir.join("double.onnx");
    fs::write(&path, graph.finish(8, &[("", 17)])).unwrap();
    path
}

fn session_child(case: &str, home: &Path, files: &Path) -> Output {
    let library = install(&support::cache(), &WheelSource::Index, &mut |_| {}).unwrap();
    child(case, home).env(LIBRARY, library).env(GRAPH, doubling_graph(files)).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn running_a_session_leaves_no_trace() {
    let [home, files] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let output = session_child("telemetry", home.path(), files.path());
    assert!(text(&output).contains("ran"), "{}", text(&output));
    let created: Vec<_> = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(created.is_empty(), "ONNX Runtime created {created:?}");
}

fn without_telemetry_disabled_nothing_is_loaded() {
    let [home, files] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let output = session_child("forgetful", home.path(), files.path());
    let said = text(&output);
    assert!(said.contains("disable_telemetry") && !said.contains("ran"), "{said}");
}

fn a_machine_without_python_is_told_so() {
    let home = tempfile::tempdir().unwrap();
    let output = child("install", home.path()).env("PATH", home.path()).output().unwrap();
    let said = text(&output);
    assert!(said.contains("no `python3` on the PATH") && said.contains("as a file"), "{said}");
}

fn a_machine_without_network_is_told_so() {
    let home = tempfile::tempdir().unwrap();
    let mut command = child("install", home.path());
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PIP_")) {
        command.env_remove(name);
    }
    // Nothing listens on the discard port.
    command.env("PIP_CONFIG_FILE", home.path().join("none")).env("PIP_RETRIES", "0");
    let output = command.env("PIP_INDEX_URL", "http://127.0.0.1:9/simple").output().unwrap();
    assert!(text(&output).contains("cannot reach its package index"), "{}", text(&output));
}

/// A directory that a stranger filled: whatever of it is run leaves a mark beside it.
#[cfg(unix)]
fn planted(dir: &Path, mark: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let python = format!("open({mark:?}, 'a').write(__file__ + '\\n')\n");
    for file in [
        "pip.py",
        "pip/__init__.py",
        "pip/__main__.py",
        "sitecustomize.py",
        "usercustomize.py",
        "startup.py",
        "onnxruntime.py",
        "onnxruntime/__init__.py",
        "numpy.py",
        "importlib/__init__.py",
        "encodings/__init__.py",
        "json.py",
        "setup.py",
        "keyring.py",
        "ssl.py",
        "site.py",
    ] {
        let path = dir.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &python).unwrap();
    }
    let shell = format!("#!/bin/sh\necho $0 >>'{}'\n", mark.display());
    for file in ["python3", "python", "pip3", "keyring", "git", "bin/python3", "bin/pip", "bin/keyring"] {
        let path = dir.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &shell).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    for file in [
        "libonnxruntime.so",
        "libonnxruntime.so.1.31.1",
        "lib/libonnxruntime.so",
        "onnxruntime/capi/libonnxruntime.so",
    ] {
        let path = dir.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "not a library").unwrap();
    }
    fs::write(dir.join("evil.txt"), "-e .\n").unwrap();
    fs::write(dir.join("pip.conf"), "[global]\nindex-url = http://127.0.0.1:9/planted\n").unwrap();
}

#[cfg(unix)]
fn what_lies_in_the_current_directory_is_not_run() {
    let [home, marks] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mark = marks.path().join("mark");
    planted(home.path(), &mark);
    // It is a trap indeed: Python as it starts by default runs into it.
    let plain = Command::new("python3").args(["-m", "pip"]).current_dir(home.path()).output().unwrap();
    assert!(mark.exists(), "{}", text(&plain));
    fs::remove_file(&mark).unwrap();

    let path = env::var("PATH").unwrap();
    for case in ["install", "list"] {
        let mut command = child(case, home.path());
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PIP_")) {
            command.env_remove(name);
        }
        command.env("PATH", format!(":.:bin:{path}:"));
        command.envs([("PIP_INDEX_URL", "http://127.0.0.1:9/simple"), ("PIP_RETRIES", "0")]);
        command.envs([("PIP_CONFIG_FILE", "/dev/null"), ("PIP_KEYRING_PROVIDER", "subprocess")]);
        command.envs([("PIP_REQUIREMENT", "evil.txt"), ("PIP_EDITABLE", "."), ("PIP_PYTHON", "./python3")]);
        for variable in ["PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "LIBRARY_PATH"] {
            command.env(variable, home.path());
        }
        command.envs([("PYTHONSTARTUP", "startup.py"), ("PYTHONINSPECT", "1"), ("PYTHONPLATLIBDIR", ".")]);
        let output = command.stdin(std::process::Stdio::null()).output().unwrap();
        let said = text(&output);
        let run = fs::read_to_string(&mark).unwrap_or_default();
        assert!(run.is_empty(), "{case} ran {run}: {said}");
        if case == "install" {
            assert!(said.contains("cannot reach its package index"), "{said}");
        } else {
            let here = home.path().to_str().unwrap();
            assert!(!said.lines().any(|line| line.starts_with(here) && !line.contains("/bombyx/")), "{said}");
        }
    }
}
