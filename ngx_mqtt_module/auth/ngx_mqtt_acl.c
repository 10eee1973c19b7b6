
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The look-up of rules.  The invariants are in ngx_mqtt_acl.h.
 *
 * (1) All rules that match are found in one walk over the levels, whatever
 *     the number of rules; the one with the lowest number counts.
 * (2) A placeholder is compared with a level as text: a client id that looks
 *     like a wildcard or contains a "/" matches nothing.
 * (3) Recursion is as deep as a filter in the file has levels, not as what
 *     clients send.
 *
 * Called from: client/ for PUBLISH, SUBSCRIBE and wills.
 */


#include "ngx_mqtt_acl_int.h"


#define NGX_MQTT_ACL_ROOTS  4


typedef struct {
    ngx_mqtt_acl_t           *acl;
    ngx_mqtt_acl_who_t       *who;
    ngx_str_t                 group;
    ngx_uint_t                verb;
    ngx_mqtt_acl_rule_t      *best;        /* the first one found */
    uint32_t                  limit;       /* later ones do not count */
    ngx_uint_t                allow;       /* only such rules count */
    ngx_uint_t                deny;
} ngx_mqtt_acl_walk_t;


static void ngx_mqtt_acl_walk_init(ngx_mqtt_acl_walk_t *walk,
    ngx_mqtt_acl_t *acl, ngx_mqtt_acl_who_t *who, ngx_uint_t verb);
static ngx_uint_t ngx_mqtt_acl_roots(ngx_mqtt_acl_walk_t *walk,
    ngx_mqtt_acl_node_t *roots[NGX_MQTT_ACL_ROOTS]);
static ngx_uint_t ngx_mqtt_acl_is_p2p(ngx_str_t *topic);
static void ngx_mqtt_acl_cover(ngx_mqtt_acl_walk_t *walk,
    ngx_mqtt_acl_node_t *node, ngx_str_t rest, ngx_uint_t first);
static void ngx_mqtt_acl_overlap(ngx_mqtt_acl_walk_t *walk,
    ngx_mqtt_acl_node_t *node, ngx_str_t rest, ngx_uint_t first);
static void ngx_mqtt_acl_overlap_all(ngx_mqtt_acl_walk_t *walk,
    ngx_mqtt_acl_node_t *node, ngx_str_t rest, ngx_uint_t first);
static void ngx_mqtt_acl_take(ngx_mqtt_acl_walk_t *walk,
    ngx_mqtt_acl_rule_t *rule);
static ngx_uint_t ngx_mqtt_acl_expands(ngx_mqtt_acl_walk_t *walk,
    ngx_str_t *pattern, ngx_str_t *level);


ngx_int_t
ngx_mqtt_acl_publish(ngx_mqtt_acl_t *acl, ngx_mqtt_acl_who_t *who,
    ngx_str_t *topic)
{
    ngx_uint_t            i, n;
    ngx_mqtt_acl_node_t  *roots[NGX_MQTT_ACL_ROOTS];
    ngx_mqtt_acl_walk_t   walk;

    ngx_mqtt_acl_walk_init(&walk, acl, who,
                           ngx_mqtt_acl_is_p2p(topic) ? NGX_MQTT_ACL_P2P
                                                      : NGX_MQTT_ACL_PUBLISH);

    walk.allow = 1;
    walk.deny = 1;

    n = ngx_mqtt_acl_roots(&walk, roots);

    for (i = 0; i < n; i++) {

        /* a name is a filter without wildcards */

        ngx_mqtt_acl_cover(&walk, roots[i], *topic, 1);
    }

    return (walk.best && walk.best->allow) ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_mqtt_acl_subscribe(ngx_mqtt_acl_t *acl, ngx_mqtt_acl_who_t *who,
    ngx_str_t *filter)
{
    ngx_uint_t            i, n;
    ngx_mqtt_acl_node_t  *roots[NGX_MQTT_ACL_ROOTS];
    ngx_mqtt_acl_walk_t   walk;

    ngx_mqtt_acl_walk_init(&walk, acl, who, NGX_MQTT_ACL_SUBSCRIBE);

    n = ngx_mqtt_acl_roots(&walk, roots);

    walk.allow = 1;

    for (i = 0; i < n; i++) {
        ngx_mqtt_acl_cover(&walk, roots[i], *filter, 1);
    }

    if (walk.best == NULL) {
        return NGX_DECLINED;
    }

    walk.allow = 0;
    walk.deny = 1;
    walk.best = NULL;

    /* walk.limit is the number of the rule that allows */

    for (i = 0; i < n; i++) {
        ngx_mqtt_acl_overlap(&walk, roots[i], *filter, 1);

        if (walk.best) {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


ngx_mqtt_acl_node_t *
ngx_mqtt_acl_find(ngx_mqtt_acl_t *acl, ngx_mqtt_acl_node_t *parent,
    ngx_str_t *level)
{
    ngx_uint_t            i;
    ngx_mqtt_acl_node_t  *node;

    i = ngx_mqtt_acl_hash(parent, level) & (acl->nbuckets - 1);

    for (node = acl->buckets[i]; node; node = node->chain) {

        if (node->parent == parent
            && node->level.len == level->len
            && ngx_memcmp(node->level.data, level->data, level->len) == 0)
        {
            return node;
        }
    }

    return NULL;
}


/* the group is what stands before the first "@@@" of the client id */

static void
ngx_mqtt_acl_walk_init(ngx_mqtt_acl_walk_t *walk, ngx_mqtt_acl_t *acl,
    ngx_mqtt_acl_who_t *who, ngx_uint_t verb)
{
    u_char  *p, *last;

    ngx_memzero(walk, sizeof(ngx_mqtt_acl_walk_t));

    walk->acl = acl;
    walk->who = who;
    walk->verb = verb;
    walk->limit = NGX_MQTT_ACL_NONE;

    p = who->client_id.data;
    last = p + who->client_id.len;

    for ( /* void */ ; last - p >= 3; p++) {

        if (p[0] == '@' && p[1] == '@' && p[2] == '@') {
            walk->group.data = who->client_id.data;
            walk->group.len = p - who->client_id.data;
            return;
        }
    }
}


static ngx_uint_t
ngx_mqtt_acl_roots(ngx_mqtt_acl_walk_t *walk,
    ngx_mqtt_acl_node_t *roots[NGX_MQTT_ACL_ROOTS])
{
    ngx_uint_t            i, n;
    ngx_mqtt_acl_t       *acl;

    struct {
        ngx_mqtt_acl_node_t  *parent;
        ngx_str_t            *name;
    } named[NGX_MQTT_ACL_ROOTS - 1];

    acl = walk->acl;

    named[0].parent = acl->users;
    named[0].name = &walk->who->username;
    named[1].parent = acl->clients;
    named[1].name = &walk->who->client_id;
    named[2].parent = acl->groups;
    named[2].name = &walk->group;

    roots[0] = acl->everybody;
    n = 1;

    for (i = 0; i < NGX_MQTT_ACL_ROOTS - 1; i++) {

        if (named[i].parent->children == NULL || named[i].name->len == 0) {
            continue;
        }

        roots[n] = ngx_mqtt_acl_find(acl, named[i].parent, named[i].name);

        if (roots[n]) {
            n++;
        }
    }

    return n;
}


/* <parent>/p2p/<client id> */

static ngx_uint_t
ngx_mqtt_acl_is_p2p(ngx_str_t *topic)
{
    u_char  *p, *last;

    last = topic->data + topic->len;

    p = ngx_strlchr(topic->data, last, '/');

    return p && last - p > (ngx_int_t) sizeof("/p2p/") - 1
           && ngx_memcmp(p, "/p2p/", sizeof("/p2p/") - 1) == 0;
}


/* rules that have all of the filter, or the topic name, that "rest" is of */

static void
ngx_mqtt_acl_cover(ngx_mqtt_acl_walk_t *walk, ngx_mqtt_acl_node_t *node,
    ngx_str_t rest, ngx_uint_t first)
{
    ngx_str_t             level;
    ngx_uint_t            dollar;
    ngx_mqtt_acl_node_t  *child;

    dollar = (first && rest.len && rest.data[0] == '$');

    if (!dollar) {
        ngx_mqtt_acl_take(walk, node->subtree);
    }

    if (!ngx_mqtt_topic_next_level(&rest, &level)) {
        ngx_mqtt_acl_take(walk, node->rules);
        return;
    }

    if (level.len == 1 && level.data[0] == '#') {
        return;
    }

    if (node->plus && !dollar) {
        ngx_mqtt_acl_cover(walk, node->plus, rest, 0);
    }

    if (level.len == 1 && level.data[0] == '+') {
        return;
    }

    child = ngx_mqtt_acl_find(walk->acl, node, &level);

    if (child) {
        ngx_mqtt_acl_cover(walk, child, rest, 0);
    }

    for (child = node->patterns; child; child = child->next) {

        if (ngx_mqtt_acl_expands(walk, &child->level, &level)) {
            ngx_mqtt_acl_cover(walk, child, rest, 0);
        }
    }
}


/* rules that have a part of the filter that "rest" is of */

static void
ngx_mqtt_acl_overlap(ngx_mqtt_acl_walk_t *walk, ngx_mqtt_acl_node_t *node,
    ngx_str_t rest, ngx_uint_t first)
{
    ngx_str_t             level;
    ngx_uint_t            dollar;
    ngx_mqtt_acl_rule_t   below;
    ngx_mqtt_acl_node_t  *child;

    if (node->deny > walk->limit) {
        return;
    }

    dollar = (first && rest.len && rest.data[0] == '$');

    if (!dollar) {
        ngx_mqtt_acl_take(walk, node->subtree);
    }

    if (!ngx_mqtt_topic_next_level(&rest, &level)) {
        ngx_mqtt_acl_take(walk, node->rules);
        return;
    }

    if (level.len == 1 && level.data[0] == '#') {
        below.next = NULL;
        below.number = first ? node->plain : node->deny;
        below.allow = 0;
        below.verbs = NGX_MQTT_ACL_SUBSCRIBE;

        ngx_mqtt_acl_take(walk, &below);
        return;
    }

    if (level.len == 1 && level.data[0] == '+') {
        ngx_mqtt_acl_overlap_all(walk, node, rest, first);
        return;
    }

    if (node->plus && !dollar) {
        ngx_mqtt_acl_overlap(walk, node->plus, rest, 0);
    }

    child = ngx_mqtt_acl_find(walk->acl, node, &level);

    if (child) {
        ngx_mqtt_acl_overlap(walk, child, rest, 0);
    }

    for (child = node->patterns; child; child = child->next) {

        if (ngx_mqtt_acl_expands(walk, &child->level, &level)) {
            ngx_mqtt_acl_overlap(walk, child, rest, 0);
        }
    }
}


/* "+" has a part of every level */

static void
ngx_mqtt_acl_overlap_all(ngx_mqtt_acl_walk_t *walk, ngx_mqtt_acl_node_t *node,
    ngx_str_t rest, ngx_uint_t first)
{
    ngx_mqtt_acl_node_t  *child;

    if (node->plus) {
        ngx_mqtt_acl_overlap(walk, node->plus, rest, 0);
    }

    for (child = node->patterns; child; child = child->next) {
        ngx_mqtt_acl_overlap(walk, child, rest, 0);
    }

    for (child = node->children; child && walk->best == NULL;
         child = child->next)
    {
        if (first && child->level.len && child->level.data[0] == '$') {
            continue;
        }

        ngx_mqtt_acl_overlap(walk, child, rest, 0);
    }
}


/* of a list in the order of the file the first one that counts */

static void
ngx_mqtt_acl_take(ngx_mqtt_acl_walk_t *walk, ngx_mqtt_acl_rule_t *rule)
{
    for ( /* void */ ; rule && rule->number < walk->limit; rule = rule->next) {

        if ((rule->verbs & walk->verb)
            && (rule->allow ? walk->allow : walk->deny))
        {
            walk->best = rule;
            walk->limit = rule->number;
            return;
        }
    }
}


static ngx_uint_t
ngx_mqtt_acl_expands(ngx_mqtt_acl_walk_t *walk, ngx_str_t *pattern,
    ngx_str_t *level)
{
    u_char     *p, *last, *l, *end;
    ngx_str_t   value;

    p = pattern->data;
    last = p + pattern->len;

    l = level->data;
    end = l + level->len;

    for ( /* void */ ; p < last; p++) {

        value.data = p;
        value.len = 1;

        if (*p == '%') {

            switch (*++p) {

            case 'c':
                value = walk->who->client_id;
                break;

            case 'u':
                value = walk->who->username;
                break;

            case 'g':
                value = walk->group;
                break;

            default: /* '%' */
                break;
            }

            if (value.len == 0) {
                return 0;
            }
        }

        if ((size_t) (end - l) < value.len
            || ngx_memcmp(l, value.data, value.len) != 0)
        {
            return 0;
        }

        l += value.len;
    }

    return l == end;
}
