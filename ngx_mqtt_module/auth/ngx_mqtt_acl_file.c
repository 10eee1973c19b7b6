
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * acl FILE: reads the rules and makes the trees they are looked up in.
 *
 *     allow|deny verb[,verb...] [user=name|client=id|group=id] filter
 *
 * Called from: directive handlers.
 */


#include "ngx_mqtt_acl_int.h"
#include "ngx_mqtt_auth_file.h"


typedef struct {
    ngx_mqtt_acl_node_t      *root;
    ngx_uint_t                allow;
    ngx_uint_t                verbs;
    ngx_str_t                 filter;
} ngx_mqtt_acl_line_t;


static ngx_int_t ngx_mqtt_acl_init(ngx_conf_t *cf, ngx_mqtt_acl_t *acl);
static ngx_int_t ngx_mqtt_acl_parse(ngx_conf_t *cf, ngx_mqtt_acl_t *acl,
    ngx_str_t *text);
static const char *ngx_mqtt_acl_line(ngx_mqtt_acl_t *acl, ngx_str_t *line,
    ngx_mqtt_acl_line_t *al);
static const char *ngx_mqtt_acl_verbs(ngx_str_t *word,
    ngx_mqtt_acl_line_t *al);
static const char *ngx_mqtt_acl_subject(ngx_mqtt_acl_t *acl, ngx_str_t *line,
    ngx_mqtt_acl_line_t *al);
static const char *ngx_mqtt_acl_filter(ngx_str_t *filter);
static const char *ngx_mqtt_acl_add(ngx_mqtt_acl_t *acl,
    ngx_mqtt_acl_line_t *al);
static void ngx_mqtt_acl_note_deny(ngx_mqtt_acl_t *acl,
    ngx_mqtt_acl_node_t *node, ngx_mqtt_acl_line_t *al);
static ngx_mqtt_acl_node_t *ngx_mqtt_acl_child(ngx_mqtt_acl_t *acl,
    ngx_mqtt_acl_node_t *parent, ngx_str_t *level);
static ngx_mqtt_acl_node_t *ngx_mqtt_acl_pattern(ngx_mqtt_acl_t *acl,
    ngx_mqtt_acl_node_t *parent, ngx_str_t *level);
static ngx_mqtt_acl_node_t *ngx_mqtt_acl_exact(ngx_mqtt_acl_t *acl,
    ngx_mqtt_acl_node_t *parent, ngx_str_t *level);
static ngx_mqtt_acl_node_t *ngx_mqtt_acl_node(ngx_mqtt_acl_t *acl,
    ngx_mqtt_acl_node_t *parent, ngx_str_t *level);
static ngx_int_t ngx_mqtt_acl_grow(ngx_mqtt_acl_t *acl);


static struct {
    ngx_str_t   name;
    ngx_uint_t  verbs;
} ngx_mqtt_acl_verb_names[] = {
    { ngx_string("publish"), NGX_MQTT_ACL_PUBLISH },
    { ngx_string("subscribe"), NGX_MQTT_ACL_SUBSCRIBE },
    { ngx_string("p2p"), NGX_MQTT_ACL_P2P },
    { ngx_string("all"), NGX_MQTT_ACL_ALL },
    { ngx_null_string, 0 }
};


char *
ngx_mqtt_acl_directive(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw)
{
    ngx_str_t       *value, text;
    ngx_mqtt_acl_t  *acl;

    if (gw->acl) {
        return "is duplicate";
    }

    value = cf->args->elts;

    acl = ngx_pcalloc(cf->pool, sizeof(ngx_mqtt_acl_t));
    if (acl == NULL) {
        return NGX_CONF_ERROR;
    }

    acl->file = value[1];

    if (ngx_mqtt_auth_file_read(cf, &acl->file, &text) != NGX_OK
        || ngx_mqtt_acl_init(cf, acl) != NGX_OK
        || ngx_mqtt_acl_parse(cf, acl, &text) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    gw->acl = acl;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_mqtt_acl_init(ngx_conf_t *cf, ngx_mqtt_acl_t *acl)
{
    ngx_str_t  empty;

    ngx_str_null(&empty);

    acl->pool = cf->pool;
    acl->nbuckets = 64;

    acl->buckets = ngx_pcalloc(cf->pool,
                               acl->nbuckets * sizeof(ngx_mqtt_acl_node_t *));

    acl->everybody = ngx_mqtt_acl_node(acl, NULL, &empty);
    acl->users = ngx_mqtt_acl_node(acl, NULL, &empty);
    acl->clients = ngx_mqtt_acl_node(acl, NULL, &empty);
    acl->groups = ngx_mqtt_acl_node(acl, NULL, &empty);

    if (acl->buckets == NULL || acl->everybody == NULL || acl->users == NULL
        || acl->clients == NULL || acl->groups == NULL)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_acl_parse(ngx_conf_t *cf, ngx_mqtt_acl_t *acl, ngx_str_t *text)
{
    ngx_str_t             line;
    const char           *error;
    ngx_uint_t            number;
    ngx_mqtt_acl_line_t   al;

    number = 0;

    while (ngx_mqtt_auth_file_line(text, &line, &number)) {

        error = ngx_mqtt_acl_line(acl, &line, &al);

        if (error == NULL) {
            error = ngx_mqtt_acl_add(acl, &al);
        }

        if (error) {
            return ngx_mqtt_auth_file_error(cf, &acl->file, number, error);
        }
    }

    if (acl->nrules == 0) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "no rule in \"%V\", everything is refused",
                           &acl->file);
    }

    return NGX_OK;
}


static const char *
ngx_mqtt_acl_line(ngx_mqtt_acl_t *acl, ngx_str_t *line,
    ngx_mqtt_acl_line_t *al)
{
    ngx_str_t    word;
    const char  *error;

    (void) ngx_mqtt_auth_file_word(line, &word);

    if (word.len == 5 && ngx_strncmp(word.data, "allow", 5) == 0) {
        al->allow = 1;

    } else if (word.len == 4 && ngx_strncmp(word.data, "deny", 4) == 0) {
        al->allow = 0;

    } else {
        return "a rule that does not begin with allow or deny";
    }

    (void) ngx_mqtt_auth_file_word(line, &word);

    error = ngx_mqtt_acl_verbs(&word, al);

    if (error) {
        return error;
    }

    error = ngx_mqtt_acl_subject(acl, line, al);

    if (error) {
        return error;
    }

    /* a filter may contain spaces: it is the rest of the line */

    al->filter = *line;

    return ngx_mqtt_acl_filter(&al->filter);
}


static const char *
ngx_mqtt_acl_verbs(ngx_str_t *word, ngx_mqtt_acl_line_t *al)
{
    u_char      *p, *last, *end;
    size_t       len;
    ngx_uint_t   i;

    al->verbs = 0;

    p = word->data;
    last = p + word->len;

    while (p <= last) {

        end = ngx_strlchr(p, last, ',');

        if (end == NULL) {
            end = last;
        }

        len = end - p;

        for (i = 0; ngx_mqtt_acl_verb_names[i].name.len; i++) {

            if (ngx_mqtt_acl_verb_names[i].name.len == len
                && ngx_strncmp(ngx_mqtt_acl_verb_names[i].name.data, p, len)
                   == 0)
            {
                break;
            }
        }

        if (ngx_mqtt_acl_verb_names[i].name.len == 0) {
            return "a verb other than publish, subscribe, p2p or all";
        }

        al->verbs |= ngx_mqtt_acl_verb_names[i].verbs;

        p = end + 1;
    }

    return NULL;
}


/* user=name and the like: an exact name, a root of its own */

static const char *
ngx_mqtt_acl_subject(ngx_mqtt_acl_t *acl, ngx_str_t *line,
    ngx_mqtt_acl_line_t *al)
{
    size_t                len;
    ngx_str_t             rest, word;
    ngx_mqtt_acl_node_t  *parent;

    al->root = acl->everybody;

    rest = *line;
    (void) ngx_mqtt_auth_file_word(&rest, &word);

    if (word.len >= 5 && ngx_strncmp(word.data, "user=", 5) == 0) {
        parent = acl->users;
        len = 5;

    } else if (word.len >= 7 && ngx_strncmp(word.data, "client=", 7) == 0) {
        parent = acl->clients;
        len = 7;

    } else if (word.len >= 6 && ngx_strncmp(word.data, "group=", 6) == 0) {
        parent = acl->groups;
        len = 6;

    } else {
        return NULL;
    }

    word.data += len;
    word.len -= len;

    if (word.len == 0) {
        return "an empty name";
    }

    al->root = ngx_mqtt_acl_exact(acl, parent, &word);

    *line = rest;

    return al->root ? NULL : "no memory";
}


static const char *
ngx_mqtt_acl_filter(ngx_str_t *filter)
{
    u_char     *p, *last;
    ngx_str_t   rest, share;

    rest = *filter;

    if (filter->len == 0) {
        return "no topic filter";
    }

    if (ngx_mqtt_utf8_check(filter) != NGX_OK
        || ngx_mqtt_topic_filter_check(&rest, &share) != NGX_OK
        || share.len)
    {
        return "an invalid topic filter";
    }

    last = filter->data + filter->len;

    for (p = filter->data; p < last; p++) {

        if (*p != '%') {
            continue;
        }

        p++;

        if (p == last
            || (*p != 'c' && *p != 'u' && *p != 'g' && *p != '%'))
        {
            return "a placeholder other than %c, %u, %g or %%";
        }
    }

    return NULL;
}


static const char *
ngx_mqtt_acl_add(ngx_mqtt_acl_t *acl, ngx_mqtt_acl_line_t *al)
{
    ngx_str_t             rest, level;
    ngx_mqtt_acl_node_t  *node;
    ngx_mqtt_acl_rule_t  *rule, **rules;

    node = al->root;
    rules = &node->rules;
    rest = al->filter;

    while (ngx_mqtt_topic_next_level(&rest, &level)) {

        if (level.len == 1 && level.data[0] == '#') {
            rules = &node->subtree;
            break;
        }

        node = ngx_mqtt_acl_child(acl, node, &level);

        if (node == NULL) {
            return "no memory";
        }

        rules = &node->rules;
    }

    rule = ngx_palloc(acl->pool, sizeof(ngx_mqtt_acl_rule_t));
    if (rule == NULL) {
        return "no memory";
    }

    rule->number = (uint32_t) acl->nrules++;
    rule->allow = (uint8_t) al->allow;
    rule->verbs = (uint8_t) al->verbs;

    /* at the end: the first that matches is the one that counts */

    while (*rules) {
        rules = &(*rules)->next;
    }

    rule->next = NULL;
    *rules = rule;

    if (!al->allow && (al->verbs & NGX_MQTT_ACL_SUBSCRIBE)) {
        ngx_mqtt_acl_note_deny(acl, node, al);
    }

    return NULL;
}


/* the number of this rule is the highest so far */

static void
ngx_mqtt_acl_note_deny(ngx_mqtt_acl_t *acl, ngx_mqtt_acl_node_t *node,
    ngx_mqtt_acl_line_t *al)
{
    uint32_t              number;
    ngx_mqtt_acl_node_t  *root;

    number = (uint32_t) acl->nrules - 1;
    root = al->root;

    if (al->filter.data[0] != '$') {
        root->plain = ngx_min(root->plain, number);
    }

    for ( ;; ) {
        node->deny = ngx_min(node->deny, number);

        if (node == root) {
            return;
        }

        node = node->parent;
    }
}


static ngx_mqtt_acl_node_t *
ngx_mqtt_acl_child(ngx_mqtt_acl_t *acl, ngx_mqtt_acl_node_t *parent,
    ngx_str_t *level)
{
    if (level->len == 1 && level->data[0] == '+') {

        if (parent->plus == NULL) {
            parent->plus = ngx_mqtt_acl_node(acl, parent, level);
        }

        return parent->plus;
    }

    if (level->len
        && ngx_strlchr(level->data, level->data + level->len, '%'))
    {
        return ngx_mqtt_acl_pattern(acl, parent, level);
    }

    return ngx_mqtt_acl_exact(acl, parent, level);
}


static ngx_mqtt_acl_node_t *
ngx_mqtt_acl_pattern(ngx_mqtt_acl_t *acl, ngx_mqtt_acl_node_t *parent,
    ngx_str_t *level)
{
    ngx_mqtt_acl_node_t  *node;

    for (node = parent->patterns; node; node = node->next) {

        if (node->level.len == level->len
            && ngx_memcmp(node->level.data, level->data, level->len) == 0)
        {
            return node;
        }
    }

    node = ngx_mqtt_acl_node(acl, parent, level);

    if (node) {
        node->next = parent->patterns;
        parent->patterns = node;
    }

    return node;
}


static ngx_mqtt_acl_node_t *
ngx_mqtt_acl_exact(ngx_mqtt_acl_t *acl, ngx_mqtt_acl_node_t *parent,
    ngx_str_t *level)
{
    ngx_uint_t            i;
    ngx_mqtt_acl_node_t  *node;

    node = ngx_mqtt_acl_find(acl, parent, level);

    if (node) {
        return node;
    }

    if (acl->nnodes == acl->nbuckets && ngx_mqtt_acl_grow(acl) != NGX_OK) {
        return NULL;
    }

    node = ngx_mqtt_acl_node(acl, parent, level);

    if (node == NULL) {
        return NULL;
    }

    i = ngx_mqtt_acl_hash(parent, level) & (acl->nbuckets - 1);

    node->chain = acl->buckets[i];
    acl->buckets[i] = node;
    acl->nnodes++;

    node->next = parent->children;
    parent->children = node;

    return node;
}


static ngx_mqtt_acl_node_t *
ngx_mqtt_acl_node(ngx_mqtt_acl_t *acl, ngx_mqtt_acl_node_t *parent,
    ngx_str_t *level)
{
    ngx_mqtt_acl_node_t  *node;

    node = ngx_pcalloc(acl->pool, sizeof(ngx_mqtt_acl_node_t));
    if (node == NULL) {
        return NULL;
    }

    node->parent = parent;
    node->level = *level;
    node->deny = NGX_MQTT_ACL_NONE;
    node->plain = NGX_MQTT_ACL_NONE;

    return node;
}


static ngx_int_t
ngx_mqtt_acl_grow(ngx_mqtt_acl_t *acl)
{
    ngx_uint_t             i, k, n;
    ngx_mqtt_acl_node_t   *node, *next, **buckets;

    n = acl->nbuckets * 2;

    buckets = ngx_pcalloc(acl->pool, n * sizeof(ngx_mqtt_acl_node_t *));
    if (buckets == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < acl->nbuckets; i++) {

        for (node = acl->buckets[i]; node; node = next) {
            next = node->chain;

            k = ngx_mqtt_acl_hash(node->parent, &node->level) & (n - 1);

            node->chain = buckets[k];
            buckets[k] = node;
        }
    }

    (void) ngx_pfree(acl->pool, acl->buckets);

    acl->buckets = buckets;
    acl->nbuckets = n;

    return NGX_OK;
}
