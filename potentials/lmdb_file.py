"""Key-value pairs of an LMDB file, read without the LMDB library (its licence is none of those Sorbus accepts).

The file is a copy-on-write B+ tree of fixed pages, little-endian (format version 1, written by LMDB 0.9 on 64-bit
machines; H. Chu, "MDB: A Memory-Mapped Database and Backend for OpenLDAP", LDAPCon 2011). Two meta pages at its start
name the root; the one of the later transaction holds. Every page begins with 16 bytes: its number (8), padding (2),
flags (2), and the ends of its list of node offsets and of its free space (2 + 2), or how many pages an overflow takes.
A node is size or child (2 + 2), flags (2), length of its key (2), the key, and in a leaf the value; a value too long
for a page lies in overflow pages, and the node holds the number of the first.
"""

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

from potentials.errors import InputError

_MAGIC, _VERSION = 0xBEEFC0DE, 1
_HEADER, _NODE = 16, 8  # bytes
_META = struct.Struct("<IIQQ")  # magic, version, address, size of the map
_TREE = struct.Struct("<IHHQQQQQ")  # page size (first tree only), flags, depth, pages of three kinds, entries, root
_BRANCH, _LEAF, _OVERFLOW = 0x01, 0x02, 0x04
_LONG_VALUE, _SEVERAL_VALUES = 0x01, 0x02 | 0x04
_EMPTY = 2**64 - 1
_MAX_DEPTH = 64


def read_lmdb(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) of the main database, in the order of the keys' bytes.

    Raises:
        InputError: no LMDB file of format version 1, or a damaged or truncated one.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield from _pairs(data, path)
    except (OSError, ValueError) as error:  # an empty file cannot be mapped
        raise InputError(f"{path} cannot be read ({error}): check the path, or copy it again") from None


def _pairs(data: mmap.mmap, path: Path) -> Iterator[tuple[bytes, bytes]]:
    try:
        page_size, entries, root = _newest_tree(data, path)
        found = 0
        if root != _EMPTY:
            for pair in _walk(data, page_size, root, 0):
                found += 1
                yield pair
    except (struct.error, IndexError, _Damaged) as error:
        raise InputError(f"{path} is damaged or truncated ({error}): copy it again") from None
    if found != entries:
        raise InputError(f"{path} is damaged: it should hold {entries} records and holds {found}: copy it again")


class _Damaged(Exception):
    """A page that is not what its parent says."""


def _newest_tree(data: mmap.mmap, path: Path) -> tuple[int, int, int]:
    """Page size, entries and root page of the later of the two meta pages."""
    first = _meta(data, 0)
    if first is None:
        raise InputError(f"{path} is no LMDB file of format version 1: give an .aselmdb, ASE database or extended XYZ")
    second = _meta(data, first[1])
    _, *tree = max(meta for meta in (first, second) if meta is not None)
    return tree[0], tree[1], tree[2]


def _meta(data: mmap.mmap, offset: int) -> tuple[int, int, int, int] | None:
    """Transaction, page size, entries and root; None where there is no meta page."""
    start = offset + _HEADER
    if start + _META.size + 2 * _TREE.size + 16 > len(data):
        return None
    magic, version, _, _ = _META.unpack_from(data, start)
    if (magic, version) != (_MAGIC, _VERSION):
        return None
    page_size = _TREE.unpack_from(data, start + _META.size)[0]
    *_, entries, root = _TREE.unpack_from(data, start + _META.size + _TREE.size)
    _, transaction = struct.unpack_from("<QQ", data, start + _META.size + 2 * _TREE.size)
    return transaction, page_size, entries, root


def _walk(data: mmap.mmap, page_size: int, number: int, depth: int) -> Iterator[tuple[bytes, bytes]]:
    """Pairs below one page, left to right."""
    page = number * page_size
    _, _, flags, lower, _ = struct.unpack_from("<QHHHH", data, page)
    if depth > _MAX_DEPTH or not flags & (_BRANCH | _LEAF):
        raise _Damaged(f"page {number} is no page of the tree")
    for index in range((lower - _HEADER) // 2):
        node = page + struct.unpack_from("<H", data, page + _HEADER + 2 * index)[0]
        low, high, node_flags, key_size = struct.unpack_from("<HHHH", data, node)
        value = node + _NODE + key_size
        if flags & _BRANCH:
            yield from _walk(data, page_size, low | high << 16 | node_flags << 32, depth + 1)
        elif node_flags & _SEVERAL_VALUES:
            raise _Damaged("it holds databases within databases, or keys of several values, which are not read")
        else:
            size = low | high << 16
            if node_flags & _LONG_VALUE:
                value = _overflow(data, page_size, struct.unpack_from("<Q", data, value)[0])
            if value + size > len(data):
                raise _Damaged(f"a record of page {number} ends beyond the file")
            yield data[node + _NODE : node + _NODE + key_size], data[value : value + size]


def _overflow(data: mmap.mmap, page_size: int, number: int) -> int:
    """Where the value in overflow pages from `number` on begins."""
    if not struct.unpack_from("<QHH", data, number * page_size)[2] & _OVERFLOW:
        raise _Damaged(f"page {number} is no overflow page")
    return number * page_size + _HEADER
