extension Sequence {
    /// The different elements in the order of their first occurrences.
    func distinct() -> [Element] where Element: Hashable {
        var seen: Set<Element> = []
        return filter { seen.insert($0).inserted }
    }

    /// The elements in groups of equal keys, the groups in the order of their first elements.
    func grouped<Key: Hashable>(by key: (Element) -> Key) -> [[Element]] {
        let groups = Dictionary(grouping: self, by: key)
        return map(key).distinct().compactMap { groups[$0] }
    }
}
