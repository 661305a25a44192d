//! The pinned builds of ONNX Runtime, one for each kind of machine.

use crate::fetch::{Member, Wheel};
use crate::python::WheelTag;

/// The version that is fetched. Version 1.24 and every later one can be loaded.
pub const RUNTIME_VERSION: &str = "1.31.1";

pub(super) const REQUIREMENT: &str = "onnxruntime==1.31.1";

/// The build of ONNX Runtime for one kind of machine.
#[derive(Debug, Clone, Copy)]
pub struct RuntimePackage {
    /// Operating system and processor, in Rust's words.
    pub target: (&'static str, &'static str),
    /// The wheel that carries it.
    pub wheel: Wheel,
    /// The library in the wheel.
    pub library: Member,
}

/// Returns every pinned build. The one for Linux x86-64 was tried; the others come from the same index and were never run.
#[must_use]
pub fn packages() -> &'static [RuntimePackage] {
    &PACKAGES
}

pub(super) const PACKAGES: [RuntimePackage; 5] = [
    RuntimePackage {
        target: ("linux", "x86_64"),
        wheel: wheel(
            "manylinux_2_28_x86_64",
            23_753_652,
            "5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f",
        ),
        library: Member {
            path: "onnxruntime/capi/libonnxruntime.so.1.31.1",
            bytes: 29_352_200,
            sha256: "fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3",
        },
    },
    RuntimePackage {
        target: ("linux", "aarch64"),
        wheel: wheel(
            "manylinux_2_28_aarch64",
            21_413_526,
            "da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3",
        ),
        library: Member {
            path: "onnxruntime/capi/libonnxruntime.so.1.31.1",
            bytes: 25_265_040,
            sha256: "8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467",
        },
    },
    RuntimePackage {
        target: ("macos", "aarch64"),
        wheel: wheel(
            "macosx_14_0_arm64",
            20_871_676,
            "60b6b69bfe580eab576cacc5d132a0e9cf2a37fcfd18d46dd191042b1d1ed0d7",
        ),
        library: Member {
            path: "onnxruntime/capi/libonnxruntime.1.31.1.dylib",
            bytes: 33_037_336,
            sha256: "f8b06155feece624e55e49124340eea279da812529ae6fbc46a9f2be9c9cad2e",
        },
    },
    RuntimePackage {
        target: ("windows", "x86_64"),
        wheel: wheel(
            "win_amd64",
            14_885_761,
            "c3d91b5de31e2fc82d71bd65b2b22bddee8b49057a3a36338e9a868e0ea90c05",
        ),
        library: Member {
            path: "onnxruntime/capi/onnxruntime.dll",
            bytes: 19_288_888,
            sha256: "8482d2ee174e28504f99730fb01d6861575870283de4ed3a897ad39170d9a9b9",
        },
    },
    RuntimePackage {
        target: ("windows", "aarch64"),
        wheel: wheel(
            "win_arm64",
            14_735_267,
            "93800007a7023b3ab26ad72e6463d0d57d84ead49a2f6341954d91438e046bc0",
        ),
        library: Member {
            path: "onnxruntime/capi/onnxruntime.dll",
            bytes: 19_171_640,
            sha256: "f4f7729bf4aa0c78b6ab5253747f3593bb9a28b4c4275a0a9f59f04ea580d61f",
        },
    },
];

const fn wheel(platform: &'static str, bytes: u64, sha256: &'static str) -> Wheel {
    Wheel { requirement: REQUIREMENT, bytes, sha256, tag: Some(WheelTag { platform, python: "311" }) }
}

/// Returns the targets with a pinned build, for people.
pub(super) fn targets() -> String {
    PACKAGES.map(|package| target_name(package.target)).join(", ")
}

pub(super) fn target_name((os, arch): (&str, &str)) -> String {
    format!("{os}-{arch}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;

    #[test]
    fn every_pin_is_a_digest_of_the_one_version() {
        for package in packages() {
            assert!(package.wheel.sha256.parse::<Sha256>().is_ok());
            assert!(package.library.sha256.parse::<Sha256>().is_ok());
            assert!(package.wheel.requirement.ends_with(RUNTIME_VERSION));
        }
    }
}
