#!/usr/bin/env bash
# Makes the ELF files from which the reader's mutation test starts anew: small shared objects with debug information of
# each kind.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
common=(-shared -fPIC -nostdlib -Wl,--build-id=sha1 -Wl,-z,noseparate-code -Wl,--eh-frame-hdr -fdebug-prefix-map="$PWD"=.)
cc -g -gdwarf-4 "${common[@]}" -o dwarf4.so sorted.c
cc -g -gdwarf-5 "${common[@]}" -o dwarf5.so sorted.c
cc -O2 -g -gdwarf-4 "${common[@]}" -o dwarf4-optimised.so sorted.c
cc -O2 -g -gdwarf-5 "${common[@]}" -o dwarf5-optimised.so sorted.c
