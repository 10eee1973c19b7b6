
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Groups of the node's directory: the members of shared subscriptions, 4.8.2;
 * ngx_mqtt_directory_store.h.
 *
 * (1) A group lives while a worker has members in it; its filter lives while
 *     it has a group.
 * (2) The number of members is set, not counted: to say it again, after a
 *     torn store was given up, does no harm.
 */


#include "ngx_mqtt_directory_store.h"


static uint32_t ngx_mqtt_dir_group_find(ngx_mqtt_dir_t *dir,
    ngx_str_t *filter, uint64_t id);
static uint32_t ngx_mqtt_dir_group_make(ngx_mqtt_dir_t *dir,
    ngx_str_t *filter, uint64_t id);
static ngx_int_t ngx_mqtt_dir_group_link(ngx_mqtt_dir_t *dir,
    uint32_t parent, uint32_t ref);
static uint32_t *ngx_mqtt_dir_group_member(ngx_mqtt_dir_t *dir,
    ngx_mqtt_dir_node_t *group, ngx_uint_t slot);
static void ngx_mqtt_dir_group_leave(ngx_mqtt_dir_t *dir, uint32_t *next);


ngx_int_t
ngx_mqtt_dir_share(ngx_mqtt_dir_t *dir, ngx_str_t *filter, uint64_t id,
    ngx_uint_t slot, ngx_uint_t count)
{
    uint32_t                ref, new, *next;
    ngx_mqtt_dir_node_t    *group;
    ngx_mqtt_dir_member_t  *member;

    ref = count ? ngx_mqtt_dir_group_make(dir, filter, id)
                : ngx_mqtt_dir_group_find(dir, filter, id);

    if (ref == 0) {
        return count ? NGX_ERROR : NGX_DECLINED;
    }

    group = ngx_mqtt_dir_node(dir, ref);
    next = ngx_mqtt_dir_group_member(dir, group, slot);

    if (*next && count) {
        ngx_mqtt_dir_member(dir, *next)->count = (uint32_t) count;
        return NGX_DECLINED;
    }

    if (*next) {
        ngx_mqtt_dir_group_leave(dir, next);
        dir->gates[group->gate]--;

        ngx_mqtt_dir_prune(dir, ref);

        return NGX_OK;
    }

    if (count == 0) {
        return NGX_DECLINED;
    }

    new = ngx_mqtt_dir_alloc(dir, sizeof(ngx_mqtt_dir_member_t));

    if (new == 0) {
        ngx_mqtt_dir_prune(dir, ref);
        return NGX_ERROR;
    }

    member = ngx_mqtt_dir_member(dir, new);

    member->next = 0;
    member->slot = (uint32_t) slot;
    member->count = (uint32_t) count;
    member->stalled = 0;

    *next = new;
    dir->gates[group->gate]++;

    return NGX_OK;
}


void
ngx_mqtt_dir_stall(ngx_mqtt_dir_t *dir, ngx_str_t *filter, uint64_t id,
    ngx_uint_t slot, ngx_uint_t stalled)
{
    uint32_t  ref, *next;

    ref = ngx_mqtt_dir_group_find(dir, filter, id);

    if (ref == 0) {
        return;
    }

    next = ngx_mqtt_dir_group_member(dir, ngx_mqtt_dir_node(dir, ref), slot);

    if (*next) {
        ngx_mqtt_dir_member(dir, *next)->stalled = (uint32_t) stalled;
    }
}


uint64_t
ngx_mqtt_dir_group_id(ngx_mqtt_dir_node_t *group)
{
    uint64_t  id;

    ngx_memcpy(&id, group->name, sizeof(uint64_t));

    return id;
}


void
ngx_mqtt_dir_groups(ngx_mqtt_dir_t *dir, ngx_mqtt_dir_node_t *node,
    ngx_mqtt_dir_group_pt handler, void *data)
{
    uint32_t              ref;
    ngx_mqtt_dir_node_t  *group;

    for (ref = ngx_mqtt_dir_shared(dir, node)->groups;
         ref;
         ref = group->u.group.next)
    {
        group = ngx_mqtt_dir_node(dir, ref);
        handler(data, dir, group);
    }
}


static uint32_t
ngx_mqtt_dir_group_find(ngx_mqtt_dir_t *dir, ngx_str_t *filter, uint64_t id)
{
    uint32_t   parent;
    ngx_str_t  name;

    parent = ngx_mqtt_dir_find(dir, filter);

    if (parent == 0) {
        return 0;
    }

    name.len = sizeof(uint64_t);
    name.data = (u_char *) &id;

    return ngx_mqtt_dir_find_node(dir, parent | NGX_MQTT_DIR_GROUP, &name);
}


static uint32_t
ngx_mqtt_dir_group_make(ngx_mqtt_dir_t *dir, ngx_str_t *filter, uint64_t id)
{
    uint32_t   ref, parent;
    ngx_str_t  name;

    ref = ngx_mqtt_dir_group_find(dir, filter, id);

    if (ref) {
        return ref;
    }

    parent = ngx_mqtt_dir_make(dir, filter);

    if (parent == 0) {
        return 0;
    }

    name.len = sizeof(uint64_t);
    name.data = (u_char *) &id;

    ref = ngx_mqtt_dir_add(dir, parent | NGX_MQTT_DIR_GROUP, &name,
                           ngx_mqtt_dir_node(dir, parent)->gate);

    if (ref == 0) {
        ngx_mqtt_dir_prune(dir, parent);
        return 0;
    }

    if (ngx_mqtt_dir_group_link(dir, parent, ref) != NGX_OK) {
        ngx_mqtt_dir_prune(dir, ref);
        return 0;
    }

    return ref;
}


static ngx_int_t
ngx_mqtt_dir_group_link(ngx_mqtt_dir_t *dir, uint32_t parent, uint32_t ref)
{
    uint32_t                new;
    ngx_mqtt_dir_node_t    *node, *group;
    ngx_mqtt_dir_shared_t  *shared;

    node = ngx_mqtt_dir_node(dir, parent);

    if (!(node->workers & NGX_MQTT_DIR_SHARED)) {
        new = ngx_mqtt_dir_alloc(dir, sizeof(ngx_mqtt_dir_shared_t));

        if (new == 0) {
            return NGX_ERROR;
        }

        shared = ngx_mqtt_dir_data(dir, new);

        shared->workers = node->workers;
        shared->groups = 0;

        node->workers = new | NGX_MQTT_DIR_SHARED;
    }

    shared = ngx_mqtt_dir_shared(dir, node);

    group = ngx_mqtt_dir_node(dir, ref);
    group->u.group.next = shared->groups;

    if (shared->groups) {
        ngx_mqtt_dir_node(dir, shared->groups)->u.group.prev = ref;
    }

    shared->groups = ref;

    dir->groups[group->gate]++;

    return NGX_OK;
}


/* a filter that is not shared has a group that could not be linked */

uint32_t
ngx_mqtt_dir_group_unlink(ngx_mqtt_dir_t *dir, uint32_t ref)
{
    uint32_t                parent, next, prev, chunk;
    ngx_mqtt_dir_node_t    *node, *group;
    ngx_mqtt_dir_shared_t  *shared;

    group = ngx_mqtt_dir_node(dir, ref);
    parent = group->parent & ~NGX_MQTT_DIR_GROUP;
    node = ngx_mqtt_dir_node(dir, parent);

    if (!(node->workers & NGX_MQTT_DIR_SHARED)) {
        return parent;
    }

    shared = ngx_mqtt_dir_shared(dir, node);

    next = group->u.group.next;
    prev = group->u.group.prev;

    if (next) {
        ngx_mqtt_dir_node(dir, next)->u.group.prev = prev;
    }

    if (prev) {
        ngx_mqtt_dir_node(dir, prev)->u.group.next = next;

    } else {
        shared->groups = next;
    }

    dir->groups[group->gate]--;

    if (shared->groups == 0) {
        chunk = node->workers & ~NGX_MQTT_DIR_SHARED;
        node->workers = shared->workers;

        ngx_mqtt_dir_free(dir, chunk);
    }

    return parent;
}


ngx_uint_t
ngx_mqtt_dir_group_take(ngx_mqtt_dir_t *dir, ngx_mqtt_dir_node_t *group,
    uint64_t *slots)
{
    uint32_t    *next;
    ngx_uint_t   n, slot;

    n = 0;
    next = &group->workers;

    while (*next) {
        slot = ngx_mqtt_dir_member(dir, *next)->slot;

        if (ngx_mqtt_dir_bit(slots, slot)) {
            ngx_mqtt_dir_group_leave(dir, next);
            n++;

        } else {
            next = &ngx_mqtt_dir_member(dir, *next)->next;
        }
    }

    return n;
}


/* where the slot's ref stands, or would be added */

static uint32_t *
ngx_mqtt_dir_group_member(ngx_mqtt_dir_t *dir, ngx_mqtt_dir_node_t *group,
    ngx_uint_t slot)
{
    uint32_t  *next;

    next = &group->workers;

    while (*next && ngx_mqtt_dir_member(dir, *next)->slot != slot) {
        next = &ngx_mqtt_dir_member(dir, *next)->next;
    }

    return next;
}


static void
ngx_mqtt_dir_group_leave(ngx_mqtt_dir_t *dir, uint32_t *next)
{
    uint32_t  ref;

    ref = *next;
    *next = ngx_mqtt_dir_member(dir, ref)->next;

    ngx_mqtt_dir_free(dir, ref);
}
