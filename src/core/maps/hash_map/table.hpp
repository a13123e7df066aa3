/// One generation of a map's buckets, and the memory they lie in.
///
///     bucket (128 bytes)   hash x 5 | key x 5 | value x 5 | lock 1 | link 3 | meta 4
///
/// That is two cache lines, and an overwrite changes only the second: threads that look for keys keep their
/// copies of the first. A chain is a home bucket and the overflow buckets behind it. The lock and the version
/// of the home bucket are those of the whole chain.
///
/// A policy may give each slot data beside its key and value (see SlotData); a bucket then has fewer slots.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <new>

#include "core/base/hints.hpp"
#include "core/base/memory.hpp"
#include "core/base/reclaim.hpp"
#include "core/maps/hash_map/position.hpp"

namespace threadproof {

/// The bits of a bucket's meta word.
/// home: the entries are in the next table. They stay here for readers that came before, and never change.
inline constexpr std::uint32_t kMoved = 1;
/// link names the next bucket of the chain; once set, it never changes
inline constexpr std::uint32_t kChained = 2;
/// home: differs from the map's parity while an open snapshot still needs the entries
inline constexpr std::uint32_t kParity = 4;
/// home: the version, 29 bits from here up, changes whenever a key comes or goes. A reader takes a changed
/// chain for an unchanged one only if it sleeps for exactly 2^29 changes of that chain (at least 10 s).
inline constexpr std::uint32_t kVersion = 8;

/// What a slot has beside its key and value: P::SlotData, which std::atomic holds without a lock, or nothing.
struct NoSlotData {};
template <class P>
struct SlotDataOf {
    using type = NoSlotData;
};
template <class P>
    requires requires { typename P::SlotData; }
struct SlotDataOf<P> {
    using type = typename P::SlotData;
};
template <class P>
using SlotData = typename SlotDataOf<P>::type;

/// The data of a bucket's slots; takes no room where there is none.
template <class Data, int kSlots>
struct SlotDataArray {
    static constexpr std::size_t kBytes = sizeof(std::atomic<Data>);
    std::atomic<Data> of[kSlots];
    void reset(int slot) { of[slot].store(Data{}, std::memory_order_relaxed); }
    /// Before the key is published.
    void set(int slot, Data data) {
        // release: pairs with data_of(); a reader of the slot's last key that sees this sees that key's going
        of[slot].store(data, std::memory_order_release);
    }
    void move_to(SlotDataArray& to, int from_slot, int to_slot) {
        to.set(to_slot, of[from_slot].load(std::memory_order_relaxed));
    }
};
template <int kSlots>
struct SlotDataArray<NoSlotData, kSlots> {
    static constexpr std::size_t kBytes = 0;
    void reset(int) {}
    void set(int, NoSlotData) {}
    void move_to(SlotDataArray&, int, int) {}
};

/// Field      | written                                     | read                            | guard
/// -----------|---------------------------------------------|---------------------------------|-----------
/// link_*     | relaxed, once, before kChained              | relaxed, after kChained is seen | home's lock
/// meta       | release (relaxed before a release of a key) | acquire                         | home's lock
/// hash[i]    | release, before the version and the key     | relaxed, then acquire fence     | home's lock
/// key[i]     | release                                     | acquire                         | home's lock
/// value[i]   | release                                     | acquire                         | home's lock
/// data.of[i] | by the map: see there                       |                                 |
template <class Lock, class Data = NoSlotData>
struct alignas(kNoSharing) Bucket {
    // 8 bytes of header and as many slots as two cache lines hold: 5 of 24 bytes
    static constexpr int kSlots = (kNoSharing - 8) / (24 + SlotDataArray<Data, 1>::kBytes);

    std::atomic<std::uint64_t> hash[kSlots];
    std::atomic<Word> key[kSlots];  ///< 0: the slot is free, and its value is 0
    std::atomic<Word> value[kSlots];
    [[no_unique_address]] SlotDataArray<Data, kSlots> data;
    Lock lock;
    std::atomic<std::uint8_t> link_high;
    std::atomic<std::uint16_t> link_low;
    std::atomic<std::uint32_t> meta;

    /// Which slots hold this hash, as bits. Free slots may match: their key is 0.
    TP_HOT unsigned matches(std::uint64_t h) const {
        unsigned found = 0;
#pragma GCC unroll 5
        for (int i = 0; i < kSlots; ++i)
            found |= static_cast<unsigned>(hash[i].load(std::memory_order_relaxed) == h) << i;
        return found;
    }

    /// The first slot that holds this hash, or -1. In conditional moves: there is no branch to be
    /// mispredicted, and half the instructions of matches(). The empty asm statements keep the compiler from
    /// making branches of them again.
    TP_HOT std::intptr_t first_match(std::uint64_t h) const {
        std::intptr_t found = -1;
#pragma GCC unroll 5
        for (std::intptr_t i = kSlots - 1; i >= 0; --i) {
            std::intptr_t slot = i;
            asm("" : "+r"(slot));
            found = hash[i].load(std::memory_order_relaxed) == h ? slot : found;
            asm("" : "+r"(found));
        }
        return found;
    }

    /// The first free slot, or -1; under the lock. In conditional moves, too.
    TP_HOT std::intptr_t first_free() const {
        std::intptr_t found = -1;
#pragma GCC unroll 5
        for (std::intptr_t i = kSlots - 1; i >= 0; --i) {
            std::intptr_t slot = i;
            asm("" : "+r"(slot));
            found = key[i].load(std::memory_order_relaxed) == 0 ? slot : found;
            asm("" : "+r"(found));
        }
        return found;
    }

    /// The first access to a bucket of a new table: a write. Reading an untouched page maps the kernel's page
    /// of zeroes, and the write that follows has to take it away from every core (measured with two threads:
    /// 540 instead of 160 ns an insert).
    void touch() { meta.fetch_or(0, std::memory_order_relaxed); }

    /// The same, for a bucket that no other thread can reach: without a locked instruction.
    void touch_unreached() { lock.unlock(); }

    std::uint32_t link() const {  // relaxed: the caller has seen kChained, stored after both halves
        return std::uint32_t{link_high.load(std::memory_order_relaxed)} << 16
               | link_low.load(std::memory_order_relaxed);
    }
};

/// A power of two of buckets, zeroed when it is made. It never grows or shrinks: its entries move to a next
/// table instead, which resize.hpp does.
///
/// Invariants
///  1. The buckets, and the first `spare_` overflow buckets behind them, lie in one piece of memory with this
///     header. Further overflow buckets lie in segments, each as large as all overflow buckets before it.
///  2. An overflow bucket belongs to one chain, for as long as the table lives.
///  3. `next` is set once. `moved` counts the home buckets that have kMoved.
template <class Lock, class Data = NoSlotData>
class Table {
 public:
    using Bucket = threadproof::Bucket<Lock, Data>;
    static_assert(sizeof(Bucket) == kNoSharing, "a bucket is two cache lines");

    /// A table of 2^bits buckets, or null when there is no memory for it.
    static Table* make(unsigned bits, std::uint64_t multiplier, std::uint64_t id) {
        std::size_t buckets = std::size_t{1} << bits;
        std::size_t spare = buckets / 32 + 1;  // most tables need few overflow buckets, and no segment then
        std::size_t bytes = kHeader + (buckets + spare) * sizeof(Bucket);
        void* memory = allocate_zeroed(bytes);
        return memory ? new (memory) Table(bits, multiplier, id, static_cast<std::uint32_t>(spare), bytes)
                      : nullptr;
    }

    std::size_t size() const { return mask_ + 1; }
    unsigned bits() const { return bits_; }
    std::uint64_t id() const { return id_; }

    TP_HOT Bucket& home(std::uint64_t hash) {
        std::uint64_t page = (hash >> kLineBits) * multiplier_;
        return buckets()[((page >> page_shift_) << kLineBits | Placement::line(hash, page)) & mask_];
    }
    Bucket& at(std::size_t index) { return buckets()[index]; }
    std::size_t index(const Bucket& home) { return static_cast<std::size_t>(&home - buckets()); }

    /// The bucket that owns a position.
    Bucket& at_position(std::uint64_t position) {
        return buckets()[bits_ == 0 ? 0 : index_of_prefix(position >> (64 - bits_), bits_)];
    }

    /// The next bucket of the chain, or null. `meta` is this bucket's, as the caller read it by an acquire,
    /// which pairs with the release in extend() and makes the link visible.
    TP_HOT Bucket* after(const Bucket& bucket, std::uint32_t meta) {
        return meta & kChained ? &spare(bucket.link() - 1) : nullptr;
    }
    Bucket* after(const Bucket& bucket) {
        return after(bucket, bucket.meta.load(std::memory_order_acquire));  // acquire: as said above
    }

    /// Puts an empty bucket at the end of a chain; null, and nothing changed, when there is no memory. The
    /// caller holds the home's lock.
    Bucket* extend(Bucket& last) {
        std::uint32_t number = take_spare();
        if (number == 0) return nullptr;
        spare(number - 1).touch();
        last.link_high.store(static_cast<std::uint8_t>(number >> 16), std::memory_order_relaxed);
        last.link_low.store(static_cast<std::uint16_t>(number), std::memory_order_relaxed);
        std::uint32_t meta = last.meta.load(std::memory_order_relaxed);  // relaxed: the lock guards it
        // release: pairs with after(); publishes the link
        last.meta.store(meta | kChained, std::memory_order_release);
        return &spare(number - 1);
    }

    /// The table is about to be filled at once.
    void use_large_pages() { threadproof::use_large_pages(this, bytes_); }

    /// Memory of this table, overflow included.
    std::size_t bytes() const {
        std::size_t total = bytes_;
        for (unsigned i = 0; i < kSegments; ++i)
            // relaxed: only a metric
            if (segments_[i].load(std::memory_order_relaxed)) total += segment_buckets(i) * sizeof(Bucket);
        return total;
    }
    /// Whether half of the 2^24 overflow buckets that a table can have are in use: with hashes that spread,
    /// that takes more than 1.4e8 keys.
    bool crowded() const { return spare_used() > kMostSpare / 2; }
    std::uint32_t spare_used() const { return spare_used_.load(std::memory_order_relaxed); }

    /// Frees the table once no reader can be in it. The caller has unlinked it and is not pinned.
    void retire() {
        for (unsigned i = 0; i < kSegments; ++i) {
            // relaxed: no thread extends an unlinked table
            if (Bucket* segment = segments_[i].load(std::memory_order_relaxed))
                Reclaimer::retire(Released{segment, segment_buckets(i) * sizeof(Bucket)});
        }
        Reclaimer::retire(Released{this, bytes_});
    }

    /// Frees a table that no other thread can reach.
    void free_now() {
        for (unsigned i = 0; i < kSegments; ++i) {
            // relaxed: no other thread has the table
            if (Bucket* segment = segments_[i].load(std::memory_order_relaxed))
                Released{segment, segment_buckets(i) * sizeof(Bucket)}.all();
        }
        Released{this, bytes_}.all();
    }

 private:
    // each doubles the number of overflow buckets, of which there is at least 1: 24 reach 2^24
    static constexpr unsigned kSegments = 24;
    static constexpr std::uint32_t kMostSpare = (1u << 24) - 1;  // a link has three bytes, and 0 is none
    static constexpr std::size_t kHeader = 4 * kNoSharing;       // the header, rounded up to whole buckets

    Table(unsigned bits, std::uint64_t multiplier, std::uint64_t id, std::uint32_t spare, std::size_t bytes)
        : mask_((std::size_t{1} << bits) - 1),
          multiplier_(multiplier),
          page_shift_(bits > kLineBits ? 64 - (bits - kLineBits) : 63),
          bits_(bits),
          id_(id),
          spare_(spare),
          bytes_(bytes) {
        static_assert(sizeof(Table) <= kHeader);
    }

    Bucket* buckets() { return reinterpret_cast<Bucket*>(reinterpret_cast<char*>(this) + kHeader); }

    /// Overflow bucket by number: the first spare_ lie behind the table, the rest in segments that double.
    Bucket& spare(std::uint32_t number) {
        if (number < spare_) return buckets()[size() + number];
        unsigned segment = segment_of(number);
        // acquire: pairs with grow_segment(); publishes the segment's zeroed memory
        return segments_[segment].load(std::memory_order_acquire)[number - first_of(segment)];
    }
    unsigned segment_of(std::uint32_t number) const {  // segment i begins at spare_ * 2^i
        return static_cast<unsigned>(std::bit_width(static_cast<std::uint64_t>(number / spare_))) - 1;
    }
    std::uint64_t first_of(unsigned segment) const { return static_cast<std::uint64_t>(spare_) << segment; }
    std::size_t segment_buckets(unsigned segment) const { return first_of(segment); }

    /// The number, from 1, of a fresh overflow bucket; 0 when there is no memory or no number left.
    std::uint32_t take_spare() {
        std::uint32_t used = spare_used_.load(std::memory_order_relaxed);
        for (;;) {
            if (used >= kMostSpare || (used >= spare_ && !grow_segment(segment_of(used)))) return 0;
            // relaxed: the number orders nothing; extend() publishes the link that carries it
            if (spare_used_.compare_exchange_weak(used, used + 1, std::memory_order_relaxed)) return used + 1;
        }
    }

    bool grow_segment(unsigned segment) {
        std::atomic<Bucket*>& place = segments_[segment];
        if (place.load(std::memory_order_acquire)) return true;
        std::size_t bytes = segment_buckets(segment) * sizeof(Bucket);
        void* memory = allocate_zeroed(bytes);
        Bucket* none = nullptr;
        // release: pairs with the acquire in spare(); publishes the zeroed memory. If another thread has been
        // faster, both use its segment.
        if (memory
            && !place.compare_exchange_strong(none, static_cast<Bucket*>(memory), std::memory_order_acq_rel))
            Released{memory, bytes}.all();
        return place.load(std::memory_order_acquire) != nullptr;
    }

    // Read by every call, and never written but for `next`: together on one cache line.
    const std::size_t mask_;
    const std::uint64_t multiplier_;
    const unsigned page_shift_, bits_;
    const std::uint64_t id_;  ///< unique within the map: an address may come again, an id does not
    const std::uint32_t spare_;
    const std::size_t bytes_;

 public:
    /// Field      | written                       | read                     | guard
    /// -----------|-------------------------------|--------------------------|---------------------------
    /// next       | release, once                 | acquire                  | resizing
    /// resizing   | acquire exchange, release     | by the exchange          | it is a lock that is tried
    /// cursor     | relaxed                       | relaxed: shares out work | none
    /// moved      | acq_rel, under a home's lock  | relaxed: a hint          | none
    /// collisions | relaxed                       | relaxed: a hint          | none
    std::atomic<Table*> next{
        nullptr};  ///< the table to which the entries move; null while there is no resize
    std::atomic<bool> resizing{false};  ///< a thread is making `next`, or has made it

    // Written while other threads read the fields above: on cache lines of their own.
    alignas(kNoSharing) std::atomic<std::uint64_t> cursor{0};  ///< the next bucket to move, modulo size()
    std::atomic<std::uint64_t> moved{0};       ///< buckets that have moved; at size() the table is done
    std::atomic<std::uint64_t> collisions{0};  ///< times that a writer found another writer in its bucket

 private:
    std::atomic<std::uint32_t> spare_used_{0};
    std::atomic<Bucket*> segments_[kSegments] = {};
};

}  // namespace threadproof
