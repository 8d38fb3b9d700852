"""Reads profile.proto (pprof) from its published definition, independently of scry's own codec.

    profile = pprof.read("x.pb.gz")
    for sample in profile.samples:
        sample.values, sample.labels, sample.frames    # frames leaf first, inlined ones expanded

Field numbers: https://github.com/google/pprof/blob/main/proto/profile.proto
"""
import collections
import gzip

Frame = collections.namedtuple("Frame", "name system_name file line start_line address inlined mapping column")
Mapping = collections.namedtuple("Mapping", "id start limit offset file build_id")


class Sample:
    __slots__ = ("values", "labels", "frames", "locations")

    def __init__(self, values, labels, locations):
        self.values, self.labels, self.locations = values, labels, locations

    @property
    def names(self):
        return [f.name for f in self.frames]


class Profile:
    def __init__(self):
        self.sample_types, self.samples, self.comments = [], [], []
        self.mappings, self.period, self.period_type, self.duration_ns, self.time_ns = {}, 0, None, 0, 0
        self.default_type = ""

    def value_index(self, kind=None):
        """The index of a sample type by name; of the default one without a name."""
        kind = kind or self.default_type
        for i, (name, _unit) in enumerate(self.sample_types):
            if name == kind:
                return i
        return len(self.sample_types) - 1

    def total(self, index):
        return sum(s.values[index] for s in self.samples)


def _varint(data, at):
    result = shift = 0
    while True:
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7


def _fields(data):
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
        elif kind == 2:
            size, at = _varint(data, at)
            value, at = data[at:at + size], at + size
            assert len(value) == size, "a field runs past the end"
        elif kind == 1:
            value, at = int.from_bytes(data[at:at + 8], "little"), at + 8
        elif kind == 5:
            value, at = int.from_bytes(data[at:at + 4], "little"), at + 4
        else:
            raise ValueError(f"wire type {kind}")
        yield key >> 3, value


def _signed(value):
    return value - (1 << 64) if value >> 63 else value


def _numbers(into, value):
    if isinstance(value, int):
        into.append(value)
        return
    at = 0
    while at < len(value):
        number, at = _varint(value, at)
        into.append(number)


def parse(data):
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    strings, functions, locations, raw_samples, raw_types = [], {}, {}, [], []
    profile, raw_mappings, period_type, default, comments = Profile(), [], None, 0, []
    for field, value in _fields(data):
        if field == 1:
            raw_types.append(dict(_fields(value)))
        elif field == 2:
            ids, values, labels = [], [], []
            for f, v in _fields(value):
                if f == 1:
                    _numbers(ids, v)
                elif f == 2:
                    _numbers(values, v)
                elif f == 3:
                    labels.append(dict(_fields(v)))
            raw_samples.append((ids, [_signed(v) for v in values], labels))
        elif field == 3:
            raw_mappings.append(dict(_fields(value)))
        elif field == 4:
            one, lines = {}, []
            for f, v in _fields(value):
                if f == 4:
                    lines.append(dict(_fields(v)))
                else:
                    one[f] = v
            locations[one.get(1, 0)] = (one.get(2, 0), one.get(3, 0), lines)
        elif field == 5:
            one = dict(_fields(value))
            functions[one.get(1, 0)] = one
        elif field == 6:
            strings.append(bytes(value).decode("utf-8", "replace"))
        elif field == 9:
            profile.time_ns = value
        elif field == 10:
            profile.duration_ns = value
        elif field == 11:
            period_type = dict(_fields(value))
        elif field == 12:
            profile.period = value
        elif field == 13:
            _numbers(comments, value)
        elif field == 14:
            default = value
    assert strings and strings[0] == "", "string 0 must be empty"

    def typed(one):
        return strings[one.get(1, 0)], strings[one.get(2, 0)]

    profile.sample_types = [typed(one) for one in raw_types]
    profile.period_type = typed(period_type) if period_type else None
    profile.default_type = strings[default]
    profile.comments = [strings[i] for i in comments]
    for one in raw_mappings:
        m = Mapping(one.get(1, 0), one.get(2, 0), one.get(3, 0), one.get(4, 0), strings[one.get(5, 0)],
                    strings[one.get(6, 0)])
        profile.mappings[m.id] = m
    frames = {}
    for key, (mapping, address, lines) in locations.items():
        made = []
        for i, line in enumerate(lines):
            f = functions.get(line.get(1, 0), {})
            made.append(Frame(strings[f.get(2, 0)], strings[f.get(3, 0)], strings[f.get(4, 0)],
                              _signed(line.get(2, 0)), _signed(f.get(5, 0)), address, i + 1 < len(lines),
                              profile.mappings.get(mapping), _signed(line.get(3, 0))))
        if not made:
            made.append(Frame("", "", "", 0, 0, address, False, profile.mappings.get(mapping), 0))
        frames[key] = made
    for ids, values, labels in raw_samples:
        named = {}
        for label in labels:
            key = strings[label.get(1, 0)]
            named[key] = strings[label[2]] if label.get(2) else _signed(label.get(3, 0))
        sample = Sample(values, named, ids)
        sample.frames = [frame for i in ids for frame in frames[i]]
        profile.samples.append(sample)
    return profile


def read(path):
    with open(path, "rb") as f:
        return parse(f.read())


def shares(profile, total=True, index=None, where=None):
    """{function name: share of the weight}, by total (counted once per stack) or by self."""
    index = profile.value_index() if index is None else index
    weights, whole = collections.Counter(), 0
    for sample in profile.samples:
        if where and not where(sample):
            continue
        value = sample.values[index]
        whole += value
        names = [f.name for f in sample.frames]
        for name in (set(names) if total else names[:1]):
            weights[name] += value
    return {name: weight / whole for name, weight in weights.items()} if whole else {}


def count(profile):
    """How many samples: the value type counted in units, or the number of rows."""
    for i, (name, unit) in enumerate(profile.sample_types):
        if name in ("samples", "sample") or unit == "count":
            return profile.total(i)
    return len(profile.samples)
