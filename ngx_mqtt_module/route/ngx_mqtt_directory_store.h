
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The memory of the node's directory: filters and the slots that have them,
 * in one region that all workers map at the same address.
 *
 * (1) It depends on nothing but its region, has no pointer and no allocator
 *     outside of it, so that ngx_mqtt_dir_format() makes a good empty store of
 *     whatever a killed worker has left behind, and leaks nothing.
 * (2) The region is cut into pages of 4 KiB.  A page holds chunks of one size,
 *     or 1024 buckets of the hash, or is free; a page that becomes empty is
 *     free again for any size.  Nothing is larger than a page: a name of more
 *     than 255 bytes is stored as its SHA-1.
 * (3) A node is an exact filter, or one level of filters with wildcards.  All
 *     nodes but the root are in one hash, by parent and name; exact filters
 *     have parent 0.  The hash grows by one bucket at a time (linear hashing):
 *     a split moves nodes to the last bucket only, so that whoever walks the
 *     buckets upwards misses no node.
 * (4) A node keeps the slot of its only worker inline; a bitmap exists while
 *     there are two or more.
 * (5) A group, the members of one shared subscription, is a node below that of
 *     its filter, with the group's id as its name.  It is in the hash and in
 *     the list of the filter's groups, and keeps how many members each worker
 *     has.  A filter without groups pays nothing for them.
 * (6) gates[] count the (filter, slot) and (group, slot) pairs by the hash of
 *     the filter's first level, the last one those whose first level is a
 *     wildcard.  They are read without a lock, everything else is not.
 *     groups[] count the groups in the same way.
 *
 * Pure like wire/: builds and is tested without nginx.  The lock is the
 * caller's.
 */


#ifndef _NGX_MQTT_DIRECTORY_STORE_H_INCLUDED_
#define _NGX_MQTT_DIRECTORY_STORE_H_INCLUDED_


#include "ngx_mqtt_wire.h"


#define NGX_MQTT_DIR_SLOTS       256
#define NGX_MQTT_DIR_WORDS       (NGX_MQTT_DIR_SLOTS / 64)

#define NGX_MQTT_DIR_LEVELS      1024      /* of a filter with wildcards */
#define NGX_MQTT_DIR_GATES       4096      /* a power of two */

#define NGX_MQTT_DIR_PAGE        4096
#define NGX_MQTT_DIR_UNIT        16
#define NGX_MQTT_DIR_UNITS       (NGX_MQTT_DIR_PAGE / NGX_MQTT_DIR_UNIT)
#define NGX_MQTT_DIR_BUCKETS     (NGX_MQTT_DIR_PAGE / sizeof(uint32_t))

#define NGX_MQTT_DIR_NAME        255       /* longer: SHA-1 */

/* a whole node with such a name, in units */

#define NGX_MQTT_DIR_CLASSES                                                  \
    ((sizeof(ngx_mqtt_dir_node_t) + NGX_MQTT_DIR_NAME) / NGX_MQTT_DIR_UNIT    \
     + 2)


/*
 * A ref is a unit: page * NGX_MQTT_DIR_UNITS + unit inside of it; 0 is none,
 * pages are counted from 1.
 */

typedef struct {
    uint32_t              next;         /* node in the bucket */
    uint32_t              hash;
    uint32_t              parent;       /* 0: an exact filter; a filter's ref
                                           with NGX_MQTT_DIR_GROUP: a group */
    uint32_t              workers;      /* 0, slot + 1, a bitmap's ref with
                                           NGX_MQTT_DIR_BITMAP, or that of a
                                           ngx_mqtt_dir_shared_t with
                                           NGX_MQTT_DIR_SHARED; of a group:
                                           the first ngx_mqtt_dir_member_t */
    union {
        struct {
            uint32_t      children;     /* but for these two: */
            uint32_t      plus;         /* "+" */
            uint32_t      pound;        /* "#" */
        } level;

        struct {
            uint32_t      next;         /* group of the filter */
            uint32_t      prev;
            uint32_t      turn;         /* messages that it was asked for */
        } group;
    } u;

    uint16_t              len;
    uint16_t              gate;
    u_char                name[];       /* len bytes or a SHA-1 */
} ngx_mqtt_dir_node_t;

#define NGX_MQTT_DIR_BITMAP      0x80000000
#define NGX_MQTT_DIR_SHARED      0x40000000
#define NGX_MQTT_DIR_GROUP       0x80000000


/* of a filter with groups */

typedef struct {
    uint32_t              workers;      /* of the filter, as above */
    uint32_t              groups;       /* the first one */
} ngx_mqtt_dir_shared_t;


/* the members of a group in one worker */

typedef struct {
    uint32_t              next;         /* worker with members */
    uint32_t              slot;
    uint32_t              count;
    uint32_t              stalled;      /* 1: others are preferred */
} ngx_mqtt_dir_member_t;


typedef struct {
    uint32_t              next;         /* with room in this class, or free */
    uint32_t              prev;
    uint16_t              units;        /* of a chunk */
    uint16_t              used;         /* chunks */
    uint16_t              fresh;        /* units from here were never used */
    uint16_t              free;         /* chunk freed last: unit + 1, or 0 */
} ngx_mqtt_dir_page_t;


typedef struct {

    /* ngx_mqtt_directory.c */

    volatile uint32_t     torn;         /* 1 while something is changed */
    volatile uint32_t     npending;
    volatile uint64_t     epoch;        /* of the store; 0: there is none */

    uint64_t              live[NGX_MQTT_DIR_WORDS];
    uint64_t              pending[NGX_MQTT_DIR_WORDS];
    uint64_t              swept[NGX_MQTT_DIR_WORDS];
    uint32_t              sweeping;
    uint32_t              cursor;       /* the next bucket to sweep */

    volatile uint32_t     gates[NGX_MQTT_DIR_GATES + 1];
    uint32_t              groups[NGX_MQTT_DIR_GATES + 1];

    /* ngx_mqtt_directory_store.c */

    uint64_t              seed;
    uint32_t              root;         /* of the filters with wildcards */
    uint32_t              nodes;        /* in the hash */
    uint32_t              buckets;
    uint32_t              round;        /* a power of two, <= buckets */
    uint32_t              nsegments;    /* the hash may have */

    /* ngx_mqtt_directory_pages.c */

    uint32_t              npages;
    uint32_t              top;          /* pages above were never used */
    uint32_t              free;         /* list of pages */
    uint32_t              room[NGX_MQTT_DIR_CLASSES];

    /* offsets from here */

    size_t                segments;     /* uint32_t[], pages of buckets */
    size_t                descriptors;  /* ngx_mqtt_dir_page_t[] */
    size_t                pages;
} ngx_mqtt_dir_t;


/* enough for a page of each kind */

#define NGX_MQTT_DIR_MIN                                                      \
    (sizeof(ngx_mqtt_dir_t) + 8 * NGX_MQTT_DIR_PAGE)


/* NGX_ERROR: the region is too small; it begins with the ngx_mqtt_dir_t */
ngx_int_t ngx_mqtt_dir_format(ngx_mqtt_dir_t *dir, size_t size,
    uint64_t seed);

/* NGX_DECLINED: the slot has it already; NGX_ERROR: no memory */
ngx_int_t ngx_mqtt_dir_insert(ngx_mqtt_dir_t *dir, ngx_str_t *filter,
    ngx_uint_t slot);

/* NGX_DECLINED: the slot does not have it */
ngx_int_t ngx_mqtt_dir_delete(ngx_mqtt_dir_t *dir, ngx_str_t *filter,
    ngx_uint_t slot);

/*
 * Adds to "found" the slots among "wanted" that have a filter that matches,
 * and calls "group", unless it is NULL, for each group of such a filter.
 */
typedef void (*ngx_mqtt_dir_group_pt)(void *data, ngx_mqtt_dir_t *dir,
    ngx_mqtt_dir_node_t *group);

void ngx_mqtt_dir_match(ngx_mqtt_dir_t *dir, ngx_str_t *topic,
    uint64_t *wanted, uint64_t *found, ngx_mqtt_dir_group_pt group,
    void *data);

/* takes the slots from the nodes of one bucket; returns how many were seen */
ngx_uint_t ngx_mqtt_dir_sweep(ngx_mqtt_dir_t *dir, ngx_uint_t bucket,
    uint64_t *slots);

/* the gate of a topic, or of a filter */
ngx_uint_t ngx_mqtt_dir_gate(uint64_t seed, ngx_str_t *topic);


/* 0: no filter that matches the topic, whose gate it is, has a group */
#define ngx_mqtt_dir_has_groups(dir, gate)                                    \
    ((dir)->groups[gate] || (dir)->groups[NGX_MQTT_DIR_GATES])


/*
 * ngx_mqtt_directory_groups.c: the number of members that a slot has in a
 * group of the filter.  NGX_OK: the slot is new in the group, or leaves it;
 * NGX_DECLINED: neither; NGX_ERROR: no memory, nothing was changed.
 */
ngx_int_t ngx_mqtt_dir_share(ngx_mqtt_dir_t *dir, ngx_str_t *filter,
    uint64_t group, ngx_uint_t slot, ngx_uint_t count);

/* the slot has members in the group, and all of them are stalled or not */
void ngx_mqtt_dir_stall(ngx_mqtt_dir_t *dir, ngx_str_t *filter,
    uint64_t group, ngx_uint_t slot, ngx_uint_t stalled);

uint64_t ngx_mqtt_dir_group_id(ngx_mqtt_dir_node_t *group);

/* calls "group" for each group of the filter */
void ngx_mqtt_dir_groups(ngx_mqtt_dir_t *dir, ngx_mqtt_dir_node_t *node,
    ngx_mqtt_dir_group_pt group, void *data);

/* takes a group that goes from its filter; the filter's ref */
uint32_t ngx_mqtt_dir_group_unlink(ngx_mqtt_dir_t *dir, uint32_t ref);

/* takes the slots from a group; how many it had */
ngx_uint_t ngx_mqtt_dir_group_take(ngx_mqtt_dir_t *dir,
    ngx_mqtt_dir_node_t *group, uint64_t *slots);


/* ngx_mqtt_directory_store.c, for groups */

uint32_t ngx_mqtt_dir_find(ngx_mqtt_dir_t *dir, ngx_str_t *filter);
uint32_t ngx_mqtt_dir_make(ngx_mqtt_dir_t *dir, ngx_str_t *filter);
uint32_t ngx_mqtt_dir_find_node(ngx_mqtt_dir_t *dir, uint32_t parent,
    ngx_str_t *text);
uint32_t ngx_mqtt_dir_add(ngx_mqtt_dir_t *dir, uint32_t parent,
    ngx_str_t *text, ngx_uint_t gate);
void ngx_mqtt_dir_prune(ngx_mqtt_dir_t *dir, uint32_t ref);


/* ngx_mqtt_directory_pages.c: 0 when there is no memory */

ngx_int_t ngx_mqtt_dir_pages_format(ngx_mqtt_dir_t *dir, size_t size);
uint32_t ngx_mqtt_dir_page(ngx_mqtt_dir_t *dir);
uint32_t ngx_mqtt_dir_alloc(ngx_mqtt_dir_t *dir, size_t size);
void ngx_mqtt_dir_free(ngx_mqtt_dir_t *dir, uint32_t ref);

#define ngx_mqtt_dir_data(dir, ref)                                           \
    ((void *) ((u_char *) (dir) + (dir)->pages                                \
               + (size_t) (ref) * NGX_MQTT_DIR_UNIT))

#define ngx_mqtt_dir_node(dir, ref)                                           \
    ((ngx_mqtt_dir_node_t *) ngx_mqtt_dir_data(dir, ref))

#define ngx_mqtt_dir_member(dir, ref)                                         \
    ((ngx_mqtt_dir_member_t *) ngx_mqtt_dir_data(dir, ref))

#define ngx_mqtt_dir_shared(dir, node)                                        \
    ((ngx_mqtt_dir_shared_t *) ngx_mqtt_dir_data(dir, (node)->workers         \
                                                 & ~NGX_MQTT_DIR_SHARED))

#define ngx_mqtt_dir_bit(bits, slot)                                          \
    ((bits)[(slot) / 64] & ((uint64_t) 1 << ((slot) % 64)))

#define ngx_mqtt_dir_bit_set(bits, slot)                                      \
    (bits)[(slot) / 64] |= (uint64_t) 1 << ((slot) % 64)

#define ngx_mqtt_dir_bit_clear(bits, slot)                                    \
    (bits)[(slot) / 64] &= ~((uint64_t) 1 << ((slot) % 64))


#endif /* _NGX_MQTT_DIRECTORY_STORE_H_INCLUDED_ */
