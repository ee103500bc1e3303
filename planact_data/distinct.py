"""Requests that are no near-duplicate of an earlier one, told apart while they come in."""

from __future__ import annotations

SHINGLE = 5  # characters; ours
PERMUTATIONS = 64  # of a MinHash sketch; ours
LOOSER = 0.75  # of the threshold is where candidates begin, so that sketches, which are rough, miss few; ours


class Distinct:
    """Texts whose 5-character shingles have a Jaccard similarity below `threshold` (0 to 1) with each other.

    distinct = Distinct(0.9)
    distinct.is_new("a", "Buy a kettle")   # True, and from now on it counts
    distinct.is_new("b", "buy a  kettle")  # False: case and spaces do not matter
    """

    def __init__(self, threshold: float):
        from datasketch import MinHashLSH

        self.threshold = threshold
        self._index = MinHashLSH(threshold=LOOSER * threshold, num_perm=PERMUTATIONS)
        self._shingles: dict[str, frozenset[str]] = {}

    def is_new(self, key: str, text: str) -> bool:
        """Whether `text` is unlike all texts before it; if so it is kept as `key`. Raises ValueError for a key that is taken."""
        from datasketch import MinHash

        mine = _shingles(text)
        sketch = MinHash(num_perm=PERMUTATIONS)
        sketch.update_batch([s.encode() for s in mine])
        if any(jaccard(mine, self._shingles[other]) >= self.threshold for other in self._index.query(sketch)):
            return False
        self._index.insert(key, sketch)
        self._shingles[key] = mine
        return True


def jaccard(a: frozenset, b: frozenset) -> float:
    return len(a & b) / len(a | b) if a or b else 1.0


def _shingles(text: str) -> frozenset[str]:
    text = " ".join(text.lower().split())
    return frozenset(text[i : i + SHINGLE] for i in range(max(1, len(text) - SHINGLE + 1)))
