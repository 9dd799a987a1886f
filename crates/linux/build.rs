//! Compiles the eBPF programs (bpf/*.bpf.c) with clang; `src/ebpf/load.rs` embeds the results.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Each is an object by itself, with the maps that it uses.
const PROGRAMS: [&str; 2] = ["hitless", "standby"];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the eBPF programs could not be built: {error}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    let sources = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../bpf");
    println!("cargo::rerun-if-changed={}", sources.display());
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CLANG");

    PROGRAMS.iter().try_for_each(|program| compile(&sources, program))
}

fn compile(sources: &Path, program: &str) -> Result<(), Box<dyn Error>> {
    let source = sources.join(format!("{program}.bpf.c"));
    let object = PathBuf::from(env::var("OUT_DIR")?).join(format!("{program}.bpf.o"));
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang".to_owned());
    let mut command = Command::new(&clang);
    // -g writes the BTF section that names and describes the maps.
    command.args(["-O2", "-g", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-mcpu=v3"]);
    command.args(["-target", target()?]);
    if let Some(headers) = kernel_headers()? {
        command.arg("-I").arg(headers);
    }
    command.arg("-c").arg(&source).arg("-o").arg(&object);
    // Paths of the machine that builds have no place in the object.
    command.arg(format!("-ffile-prefix-map={}=bpf", sources.display()));

    let output = command.output().map_err(|error| {
        format!("`{clang}` does not run ({error}); install it (`apt-get install clang`) or name another with CLANG=")
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let remedy = if said.contains("file not found") {
            "\nthe kernel's headers are missing; install them (`apt-get install linux-libc-dev`)"
        } else {
            ""
        };
        return Err(format!("{command:?} failed:\n{said}{remedy}").into());
    }
    Ok(())
}

/// The BPF target of the byte order that the program will run with.
fn target() -> Result<&'static str, env::VarError> {
    Ok(if env::var("CARGO_CFG_TARGET_ENDIAN")? == "big" { "bpfeb" } else { "bpfel" })
}

/// Where Debian and its kin keep `asm/types.h`, which clang does not look for by itself when the target is BPF.
fn kernel_headers() -> Result<Option<PathBuf>, Box<dyn Error>> {
    if Path::new("/usr/include/asm/types.h").exists() {
        return Ok(None);
    }
    let architecture = env::var("CARGO_CFG_TARGET_ARCH")?;
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir("/usr/include").into_iter().flatten() {
        let directory = entry?.path();
        if directory.join("asm/types.h").exists() {
            found.push(directory);
        }
    }
    // That of the target first; the few types that are used are the same everywhere.
    found.sort_by_key(|directory| {
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (!name.starts_with(&architecture), name)
    });
    Ok(found.into_iter().next())
}
