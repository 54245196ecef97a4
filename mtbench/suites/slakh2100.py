"""Slakh2100 (Manilow et al., "Cutting Music Source Separation Some Slakh", WASPAA 2019).

``slakh2100/<split>`` has all tracks of a split as it is distributed. Some of Slakh2100's MIDI files occur more than
once, even in two splits; ``slakh2100-redux/<split>`` leaves out the 390 tracks that the authors' slakh-utils leave out.
(The version on Zenodo has these tracks in a folder ``omitted``, so that the two suites are equal.)

The folder is that of ``mtbench prepare slakh2100``, or of MSDM's data instructions. Tracks of 640 s or more are
skipped, as in the evaluation of the published SyncTrack code.
"""

from dataclasses import replace

from mtbench.stems import CLIPS_IN_WORDS
from mtbench.suites.tracks import DataSet, family

STEMS = ("bass", "drums", "guitar", "piano")
REMEDY = (
    "Prepare Slakh2100 with 'mtbench prepare slakh2100 FOLDER', or according to MSDM's data instructions. MTBENCH_DATA "
    "is the folder that contains slakh2100/"
)
# The tracks with the action "omit" in splits/redux.json of https://github.com/ethman/slakh-utils.
# fmt: off
DUPLICATES = (
    49, 77, 146, 170, 212, 232, 240, 251, 256, 280, 296, 299, 350, 356, 365, 366, 386, 401, 422, 424, 425, 450, 470,
    476, 486, 495, 504, 521, 536, 539, 554, 566, 602, 611, 613, 620, 623, 640, 642, 646, 647, 675, 678, 688, 697, 699,
    706, 714, 715, 719, 720, 732, 744, 750, 757, 762, 764, 773, 790, 796, 800, 810, 820, 821, 829, 833, 847, 848, 851,
    862, 877, 884, 895, 899, 916, 919, 925, 933, 934, 935, 942, 956, 960, 961, 962, 964, 969, 981, 982, 990, 997,
    1000, 1011, 1020, 1028, 1046, 1052, 1061, 1066, 1067, 1068, 1071, 1079, 1081, 1087, 1090, 1093, 1099, 1109, 1111,
    1116, 1117, 1120, 1129, 1130, 1132, 1133, 1137, 1139, 1140, 1143, 1144, 1147, 1152, 1156, 1162, 1169, 1171, 1176,
    1179, 1180, 1182, 1186, 1187, 1189, 1191, 1200, 1207, 1209, 1210, 1219, 1220, 1227, 1230, 1233, 1235, 1239, 1240,
    1248, 1256, 1261, 1282, 1283, 1289, 1291, 1292, 1294, 1295, 1299, 1304, 1305, 1306, 1308, 1312, 1316, 1317, 1319,
    1325, 1326, 1329, 1338, 1344, 1345, 1348, 1352, 1357, 1371, 1372, 1378, 1391, 1400, 1402, 1407, 1410, 1412, 1416,
    1417, 1423, 1424, 1429, 1435, 1436, 1438, 1441, 1442, 1444, 1445, 1446, 1447, 1450, 1455, 1467, 1469, 1470, 1472,
    1478, 1484, 1490, 1493, 1498, 1499, 1506, 1534, 1535, 1536, 1538, 1541, 1543, 1544, 1547, 1549, 1550, 1553, 1555,
    1562, 1567, 1569, 1572, 1577, 1585, 1587, 1593, 1596, 1600, 1601, 1603, 1608, 1609, 1610, 1617, 1627, 1633, 1636,
    1637, 1638, 1640, 1648, 1651, 1658, 1663, 1667, 1668, 1669, 1671, 1673, 1680, 1682, 1683, 1684, 1686, 1687, 1699,
    1704, 1711, 1712, 1721, 1722, 1726, 1728, 1729, 1734, 1736, 1740, 1748, 1752, 1755, 1759, 1764, 1765, 1767, 1780,
    1784, 1786, 1794, 1798, 1800, 1801, 1808, 1810, 1811, 1816, 1817, 1818, 1822, 1829, 1831, 1832, 1833, 1834, 1839,
    1842, 1844, 1846, 1847, 1850, 1853, 1854, 1857, 1859, 1862, 1863, 1864, 1866, 1868, 1871, 1872, 1879, 1885, 1890,
    1894, 1909, 1910, 1912, 1914, 1915, 1919, 1921, 1922, 1923, 1924, 1926, 1933, 1938, 1939, 1941, 1942, 1944, 1946,
    1953, 1958, 1964, 1966, 1969, 1970, 1971, 1979, 1983, 1984, 1988, 1991, 1992, 1999, 2006, 2009, 2011, 2012, 2015,
    2021, 2022, 2025, 2027, 2028, 2033, 2034, 2035, 2039, 2041, 2043, 2055, 2057, 2058, 2059, 2060, 2065, 2066, 2068,
    2071, 2072, 2073, 2075, 2076, 2077, 2078, 2080, 2085, 2089, 2091, 2097, 2099, 2100,
)
# fmt: on

SLAKH2100 = DataSet(
    "slakh2100",
    "slakh2100",
    {stem: [stem] for stem in STEMS},
    what=f"Slakh2100: bass, drums, guitar and piano, {CLIPS_IN_WORDS}",
    remedy=REMEDY,
    version="3",
    longest=640.0,
)
WITHOUT_DUPLICATES = replace(
    SLAKH2100,
    name="slakh2100-redux",
    what=f"Slakh2100 without duplicates, {CLIPS_IN_WORDS}",
    left_out=frozenset(f"Track{number:05d}" for number in DUPLICATES),
)

FAMILY = family([SLAKH2100])
REDUX = family([WITHOUT_DUPLICATES])
