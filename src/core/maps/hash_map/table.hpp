/// One generation of a map's buckets, and the memory they lie in.
///
///     bucket (128 bytes)   hash x 5 | key x 5 | value x 5 | lock 1 | link 3 | meta 4
///
/// That is two cache lines, and all that an overwrite changes is in the second: threads that look for keys
/// keep their copies of the first. A chain is a home bucket and the overflow buckets behind it; the home's
/// lock and version speak for all of it.
#pragma once

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
/// home: the entries are in the next table, and stay here only for readers that came before
inline constexpr std::uint32_t kMoved = 1;
inline constexpr std::uint32_t kChained = 2;  ///< link names the next bucket of the chain; once set, for good
/// home: differs from the map's while an open snapshot still needs the entries
inline constexpr std::uint32_t kParity = 4;
/// home: 29 bits from here up, one more whenever a key comes or goes. To be fooled, a
inline constexpr std::uint32_t kVersion = 8;
///< reader would have to sleep for exactly 2^29 changes of one chain (about 10 s of them)

template <class Lock>
struct alignas(kNoSharing) Bucket {
    static constexpr int kSlots = 5;  // 5 x 24 bytes and the header make two cache lines

    /// Field      | written                                     | read                            | guard
    /// -----------|---------------------------------------------|---------------------------------|-----------
    /// link_*     | relaxed, once, before kChained              | relaxed, after kChained is seen | home's lock
    /// meta       | release (relaxed before a release of a key) | acquire                         | home's lock
    /// hash[i]    | relaxed, before the version and the key     | relaxed, then acquire fence     | home's lock
    /// key[i]     | release                                     | acquire                         | home's lock
    /// value[i]   | release                                     | acquire                         | home's lock
    std::atomic<std::uint64_t> hash[kSlots];
    std::atomic<Word> key[kSlots];  ///< 0: the slot is free, and so is its value
    std::atomic<Word> value[kSlots];
    Lock lock;
    std::atomic<std::uint8_t> link_high;
    std::atomic<std::uint16_t> link_low;
    std::atomic<std::uint32_t> meta;

    /// Which slots hold this hash, as bits. Free slots may match: their key tells.
    TP_HOT unsigned matches(std::uint64_t h) const {
        unsigned found = 0;
#pragma GCC unroll 5
        for (int i = 0; i < kSlots; ++i)
            found |= static_cast<unsigned>(hash[i].load(std::memory_order_relaxed) == h) << i;
        return found;
    }

    /// The first slot that holds this hash, or -1. In conditional moves, so that there is no branch to be
    /// guessed wrong, and half the instructions of matches(); the empty statements keep the compiler from
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

    /// The first access to a bucket of a new table: a write. Reading an untouched page maps the kernel's page
    /// of zeroes, and the write that follows has to take it away from every core (measured with two threads:
    /// 540 instead of 160 ns an insert).
    void touch() { meta.fetch_or(0, std::memory_order_relaxed); }

    std::uint32_t link() const {  // relaxed: the caller has seen kChained, stored after both halves
        return std::uint32_t{link_high.load(std::memory_order_relaxed)} << 16
               | link_low.load(std::memory_order_relaxed);
    }
};

/// A power of two of buckets. Made zeroed, never resized: a map moves its entries to the next table instead.
template <class Lock>
class Table {
 public:
    using Bucket = threadproof::Bucket<Lock>;
    static_assert(sizeof(Bucket) == kNoSharing, "a bucket is two cache lines");

    /// A table of 2^bits buckets, or null when there is no memory for it.
    static Table* make(unsigned bits, std::uint64_t multiplier, std::uint64_t id) {
        std::size_t buckets = std::size_t{1} << bits;
        // the first segment of overflow buckets, each as large as all before it: few in most tables
        std::size_t spare = buckets / 32 + 1;
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

    /// The next bucket of the chain, or null; `meta` is this bucket's, as the caller read it.
    TP_HOT Bucket* after(const Bucket& bucket, std::uint32_t meta) {
        return meta & kChained ? &spare(bucket.link() - 1) : nullptr;
    }
    Bucket* after(const Bucket& bucket) {
        return after(bucket, bucket.meta.load(std::memory_order_acquire));
    }  // acquire: pairs with extend()

    /// Puts an empty bucket at the end of a chain; null, and nothing changed, when there is no memory. Call
    /// it with the home's lock held.
    Bucket* extend(Bucket& last) {
        std::uint32_t number = take_spare();
        if (number == 0) return nullptr;
        spare(number - 1).touch();
        last.link_high.store(static_cast<std::uint8_t>(number >> 16), std::memory_order_relaxed);
        last.link_low.store(static_cast<std::uint16_t>(number), std::memory_order_relaxed);
        std::uint32_t meta = last.meta.load(std::memory_order_relaxed);  // ours: we hold the lock
        // release: pairs with after(); publishes the link
        last.meta.store(meta | kChained, std::memory_order_release);
        return &spare(number - 1);
    }

    /// Memory of this table, overflow included.
    std::size_t bytes() const {
        std::size_t total = bytes_;
        for (unsigned i = 0; i < kSegments; ++i)
            // a figure
            if (segments_[i].load(std::memory_order_relaxed)) total += segment_buckets(i) * sizeof(Bucket);
        return total;
    }
    /// Whether overflow buckets, of which a table can have 2^24, are running out: with hashes that spread,
    /// beyond 1.4e8 keys.
    bool crowded() const { return spare_used() > kMostSpare / 2; }
    std::uint32_t spare_used() const { return spare_used_.load(std::memory_order_relaxed); }

    /// Frees the table once no reader can be in it. The caller has unlinked it and is not pinned.
    void retire() {
        for (unsigned i = 0; i < kSegments; ++i) {
            if (Bucket* segment =
                    segments_[i].load(std::memory_order_relaxed))  // nobody extends an unlinked table
                Reclaimer::retire(Released{segment, segment_buckets(i) * sizeof(Bucket)});
        }
        Reclaimer::retire(Released{this, bytes_});
    }

    /// Frees a table that nobody else can reach.
    void free_now() {
        for (unsigned i = 0; i < kSegments; ++i) {
            if (Bucket* segment = segments_[i].load(std::memory_order_relaxed))  // nobody else has it
                Released{segment, segment_buckets(i) * sizeof(Bucket)}.all();
        }
        Released{this, bytes_}.all();
    }

 private:
    // each doubles: 2^24 links are used up before them
    static constexpr unsigned kSegments = 24;
    static constexpr std::uint32_t kMostSpare = (1u << 24) - 1;  // three bytes of link
    static constexpr std::size_t kHeader = 4 * kNoSharing;

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
            // relaxed: the number orders nothing, the link that carries it is published by extend()
            if (spare_used_.compare_exchange_weak(used, used + 1, std::memory_order_relaxed)) return used + 1;
        }
    }

    bool grow_segment(unsigned segment) {
        std::atomic<Bucket*>& place = segments_[segment];
        if (place.load(std::memory_order_acquire)) return true;
        std::size_t bytes = segment_buckets(segment) * sizeof(Bucket);
        void* memory = allocate_zeroed(bytes);
        Bucket* none = nullptr;
        // release: pairs with spare(). When another thread was first, its segment serves both.
        if (memory
            && !place.compare_exchange_strong(none, static_cast<Bucket*>(memory), std::memory_order_acq_rel))
            Released{memory, bytes}.all();
        return place.load(std::memory_order_acquire) != nullptr;
    }

    const std::size_t mask_;  // read by every call, as `next` is: one line for both
    const std::uint64_t multiplier_;
    const unsigned page_shift_, bits_;
    const std::uint64_t id_;  ///< unique within the map: an address may come again, an id does not
    const std::uint32_t spare_;
    const std::size_t bytes_;

 public:
    /// Where the entries go while they are moved; null while there is no resize. Written once, by HashMap.
    std::atomic<Table*> next{nullptr};
    std::atomic<bool> resizing{false};  ///< somebody is making `next`

    // Written while others read the above: apart from it.
    /// the next bucket a helper takes, modulo size()
    alignas(kNoSharing) std::atomic<std::uint64_t> cursor{0};
    /// how many buckets have moved; at size() the table is done
    std::atomic<std::uint64_t> moved{0};
    /// times that a writer found another in its bucket
    std::atomic<std::uint64_t> met{0};

 private:
    std::atomic<std::uint32_t> spare_used_{0};
    std::atomic<Bucket*> segments_[kSegments] = {};
};

}  // namespace threadproof
