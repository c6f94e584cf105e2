//! The one table of outside tools with their versions; [`crate::install`] brings what is missing.

use std::path::{Path, PathBuf};

/// A program or library that the project uses but does not contain.
pub struct Tool {
    /// Name at its source.
    pub name: &'static str,
    /// The version that is installed and accepted.
    pub version: Version,
    /// Where it comes from.
    pub source: Source,
}

/// Which versions of a tool are accepted.
pub enum Version {
    /// This one.
    Exactly(&'static str),
    /// This one or a later one: major and minor.
    AtLeast(u32, u32),
    /// The one that this file of the repository names.
    In(&'static str),
}

/// Where a tool comes from.
pub enum Source {
    /// A target of the Rust toolchain.
    RustTarget,
    /// A component of the Rust toolchain: a subcommand of cargo.
    RustComponent {
        /// The subcommand.
        subcommand: &'static str,
    },
    /// `cargo install` into the folder of the tools.
    Cargo {
        /// The program that tells the version.
        program: &'static str,
        /// More arguments of `cargo install`.
        arguments: &'static [&'static str],
    },
    /// A program on PATH, else the system's package.
    System {
        /// Environment variable that may name another program.
        variable: Option<&'static str>,
        /// Names of the program; the first one that answers is taken.
        programs: &'static [&'static str],
        /// Arguments with which it tells its version, and fails if it is not complete.
        probe: &'static [&'static str],
        /// Packages of Debian and Ubuntu.
        packages: &'static [&'static str],
    },
    /// The packages of `web/package.json`.
    Npm,
    /// A package of the Python environment.
    Pip,
}

/// Everything that building and testing needs, in the order of installation.
pub const TOOLS: &[Tool] = &[
    Tool {
        name: "wasm32-unknown-unknown",
        version: Version::In("rust-toolchain.toml"),
        source: Source::RustTarget,
    },
    Tool {
        name: crate::arm::TARGET,
        version: Version::In("rust-toolchain.toml"),
        source: Source::RustTarget,
    },
    Tool {
        name: "rustfmt",
        version: Version::In("rust-toolchain.toml"),
        source: Source::RustComponent { subcommand: "fmt" },
    },
    Tool {
        name: "clippy",
        version: Version::In("rust-toolchain.toml"),
        source: Source::RustComponent { subcommand: "clippy" },
    },
    Tool { name: "node", version: Version::AtLeast(18, 0), source: NODE },
    Tool { name: "npm", version: Version::AtLeast(8, 0), source: NPM },
    Tool { name: "chromium", version: Version::AtLeast(113, 0), source: CHROMIUM },
    // numpy's wheels begin there.
    Tool { name: "python3", version: Version::AtLeast(3, 11), source: PYTHON },
    Tool { name: crate::arm::LINKER, version: Version::AtLeast(10, 0), source: ARM_LINKER },
    // The first one with the dot product came earlier; this is what Debian 11 has.
    Tool { name: crate::arm::EMULATOR, version: Version::AtLeast(5, 2), source: ARM_EMULATOR },
    // A Vulkan driver, in software where the machine has no other.
    Tool { name: "vulkaninfo", version: Version::AtLeast(1, 1), source: VULKAN },
    Tool {
        name: "trunk",
        // 0.22 needs a newer Rust than rust-toolchain.toml has.
        version: Version::Exactly("0.21.14"),
        // Without default features it cannot download tools: it takes those on PATH.
        source: Source::Cargo { program: "trunk", arguments: &["--locked", "--no-default-features"] },
    },
    Tool {
        name: "wasm-bindgen-cli",
        // The same as in Cargo.toml: library and program speak a private format.
        version: Version::Exactly("0.2.130"),
        // Not `--locked`: its lock file names a version that is not published.
        source: Source::Cargo { program: "wasm-bindgen", arguments: &[] },
    },
    Tool { name: "web/package.json", version: Version::In("web/package-lock.json"), source: Source::Npm },
    Tool { name: "numpy", version: Version::Exactly("2.4.6"), source: Source::Pip },
    Tool { name: "onnx", version: Version::Exactly("1.23.2"), source: Source::Pip },
    Tool { name: "onnxruntime", version: Version::Exactly("1.32.0"), source: Source::Pip },
    Tool { name: "ai-edge-litert", version: Version::Exactly("2.3.0"), source: Source::Pip },
    Tool { name: "pillow", version: Version::Exactly("13.0.0"), source: Source::Pip },
    Tool { name: "scikit-learn", version: Version::Exactly("1.9.1"), source: Source::Pip },
    // Runs examples/ray_scan.py.
    Tool { name: "ray", version: Version::Exactly("2.60.0"), source: Source::Pip },
];

/// What the page is tested in besides Chromium, where it can be had: not every system has Debian's package. The version is the
/// one that was tried; an older one may not understand all that the tests ask of it.
pub const FIREFOX: Tool = Tool {
    name: "firefox",
    version: Version::AtLeast(153, 0),
    source: Source::System {
        variable: Some("AWARE_FIREFOX"),
        programs: &["firefox-esr", "firefox"],
        probe: &["--version"],
        packages: &["firefox-esr"],
    },
};

const NODE: Source =
    Source::System { variable: None, programs: &["node"], probe: &["--version"], packages: &["nodejs"] };

const NPM: Source =
    Source::System { variable: None, programs: &["npm"], probe: &["--version"], packages: &["npm"] };

/// The first version with WebGPU is asked for.
const CHROMIUM: Source = Source::System {
    variable: Some("AWARE_CHROMIUM"),
    programs: &["chromium", "chromium-browser", "google-chrome"],
    probe: &["--version"],
    packages: &["chromium"],
};

const ARM_LINKER: Source = Source::System {
    variable: None,
    programs: &[crate::arm::LINKER],
    probe: &["--version"],
    packages: &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
};

const ARM_EMULATOR: Source = Source::System {
    variable: None,
    programs: &[crate::arm::EMULATOR],
    probe: &["--version"],
    packages: &["qemu-user"],
};

/// It fails without a driver.
const VULKAN: Source = Source::System {
    variable: None,
    programs: &["vulkaninfo"],
    probe: &["--summary"],
    packages: &["mesa-vulkan-drivers", "vulkan-tools"],
};

/// Debian keeps `ensurepip`, which a new environment needs, in a package of its own.
const PYTHON: Source = Source::System {
    variable: None,
    programs: &["python3", "python3.14", "python3.13", "python3.12", "python3.11"],
    probe: &["-c", "import ensurepip, platform; print(platform.python_version())"],
    packages: &["python3-venv"],
};

impl Tool {
    /// Where a tool of cargo is installed below `tools`.
    pub fn folder(&self, tools: &Path) -> Option<PathBuf> {
        match (&self.source, &self.version) {
            (Source::Cargo { .. }, Version::Exactly(version)) => {
                Some(tools.join(format!("{}-{version}", self.name)))
            }
            _ => None,
        }
    }
}

impl Version {
    /// Whether `output`, what a program printed of itself, names an accepted version.
    pub fn accepts(&self, output: &str) -> bool {
        let mut words = output.split_whitespace().map(|word| word.trim_start_matches('v'));
        match self {
            Version::Exactly(version) => words.any(|word| word == *version),
            Version::AtLeast(major, minor) => {
                words.find_map(major_minor).is_some_and(|found| found >= (*major, *minor))
            }
            Version::In(_) => true,
        }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Version::Exactly(version) => write!(f, "{version}"),
            Version::AtLeast(major, minor) => write!(f, ">= {major}.{minor}"),
            Version::In(file) => write!(f, "of {file}"),
        }
    }
}

fn major_minor(word: &str) -> Option<(u32, u32)> {
    let mut numbers = word.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_programs_print_them() {
        struct Case {
            wanted: Version,
            output: &'static str,
            accepted: bool,
        }
        let cases = [
            Case { wanted: Version::Exactly("0.21.14"), output: "trunk 0.21.14\n", accepted: true },
            Case { wanted: Version::Exactly("0.21.14"), output: "trunk 0.21.1", accepted: false },
            Case { wanted: Version::Exactly("0.21.1"), output: "trunk 0.21.14", accepted: false },
            Case { wanted: Version::AtLeast(18, 0), output: "v20.20.2", accepted: true },
            Case { wanted: Version::AtLeast(18, 0), output: "v12.22.9", accepted: false },
            Case { wanted: Version::AtLeast(3, 11), output: "3.9.2", accepted: false },
            Case {
                wanted: Version::AtLeast(113, 0),
                output: "Chromium 156.0.8078.79 built on Debian",
                accepted: true,
            },
            Case { wanted: Version::AtLeast(113, 0), output: "Google Chrome 99.0.1", accepted: false },
            Case { wanted: Version::AtLeast(153, 0), output: "Mozilla Firefox 153.7.0esr", accepted: true },
            Case { wanted: Version::AtLeast(18, 0), output: "", accepted: false },
        ];
        for Case { wanted, output, accepted } in cases {
            assert_eq!(wanted.accepts(output), accepted, "{wanted} and {output:?}");
        }
    }

    #[test]
    fn wasm_bindgen_is_that_of_the_workspace() {
        let manifest = include_str!("../../Cargo.toml");
        let tool = TOOLS.iter().find(|tool| tool.name == "wasm-bindgen-cli").unwrap();
        assert!(manifest.contains(&format!("\nwasm-bindgen = \"={}\"\n", tool.version)), "{}", tool.version);
    }
}
