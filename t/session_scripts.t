#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# The scripts of a session against Redis, as the workers call them: what a
# claim returns and leaves behind, who may write, what an end leaves to be
# done.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Source qw/ text /;
use Test::More tests => 32;

###############################################################################

my $redis = MqttTest->new->redis;
my $key = 'test:{c:a/b}';

# claims

my ($epoch, $owner, $present, $fields, $filters) = claim('w1', 0, 100);

like($epoch, qr/^\d{16}$/, 'the epoch of a new session');
is($owner, '', 'which had no owner');
is($present, 0, 'and was not there');
is_deeply([ $fields, $filters ], [ [], [] ], 'nothing else is known of it');

is(save($epoch, 'sx/+', 'one', 's$share/g/x', '', 'v', "\0v"), 1,
   'fields are written');
is_deeply(session(), { e => $epoch, o => 'w1', x => 100, 'sx/+' => 'one',
                       v => "\0v" }, 'and stand in the session');
is(save($epoch, 'sx/+', '', 'sg', "bytes\n"), 1, 'one is removed');

is_deeply(release($epoch, 100), [ 1, [] ], 'released');
is(save($epoch, 'sg', 'x'), 0, 'nobody writes to a session of nobody');
is($redis->command('TTL', $key), 100, 'it lives on for its expiry interval');

my ($next, @rest) = claim('w2', 0, 50);

cmp_ok($next, '>', $epoch, 'the epoch grows');
is_deeply([ @rest[0, 1], pairs($rest[2]), $rest[3] ],
          [ '', 1, { sg => "bytes\n", v => "\0v" }, [] ],
          'the fields of a session that is resumed');
is($redis->command('TTL', $key), -1, 'no time to live once more');

is(save($epoch, 'sg', 'x'), 0, 'a stale epoch writes nothing');
is_deeply(release($epoch, 0), [ 0, [] ], 'nor does it release');
is(session()->{sg}, "bytes\n", 'nothing was changed');

# the end of a session with subscriptions: a clean start

save($next, 'sa', '1');

my ($third, $previous, @clean) = claim('w3', 1, 0);

is($previous, 'w2', 'a clean start over a session in use');
is_deeply([ $clean[0], $clean[1] ], [ 0, [] ], 'nothing of it is present');
is_deeply(pairs($clean[2]), { a => $next, g => $next },
          'its subscriptions are to be detached');
is_deeply(session(), { e => $third, o => 'w3', x => 0, ga => $next,
                       gg => $next }, 'and are not forgotten');

# who claims next has to do it, too

(undef, undef, @clean) = claim('w4', 0, 0);
is_deeply(pairs($clean[2]), { a => $next, g => $next },
          'the next one is told of them again');

my ($fifth) = claim('w5', 0, 0);

is(done('a', $fifth), 0, 'a reader of another epoch is not noted');
is(done('a', $next), 1, 'one is detached');
is(done('a', $next), 0, 'once');
is_deeply(release($fifth, 0), [ 1, [ g => $next ] ],
          'the end of the connection tells of the other one');
is_deeply(session(), { e => $fifth, o => '', x => 0, gg => $next },
          'which keeps the session');
is(done('g', $next), 1, 'it is detached');
is($redis->command('EXISTS', $key), 0, 'and the session goes with it');

# DISCONNECT with a session expiry of 0

($epoch) = claim('w1', 0, 100);
save($epoch, 'sa', '1', 'v', '2');

is_deeply(release($epoch, 0), [ 1, [ a => $epoch ] ],
          'a session that ends with its connection after all');
is_deeply(session(), { e => $epoch, o => '', x => 0, ga => $epoch },
          'only what is to be done is left');
is(((claim('w2', 0, 100))[2]), 0, 'it is not present any more');

# a clean session leaves nothing

$redis->command('DEL', $key);
($epoch) = claim('w1', 1, 0);
release($epoch, 0);
is_deeply([ $redis->keys ], [], 'nothing is left');

###############################################################################

sub script {
    my ($name, @args) = @_;

    return $redis->command('EVAL', text("ngx_mqtt_module/redis/lua/$name.lua"),
                           1, $key, @args);
}


sub claim   { return @{ script('claim', @_) } }
sub release { return script('release', @_) }
sub save    { return script('session_save', @_) }
sub done    { return script('session_done', @_) }


sub session {
    return pairs($redis->command('HGETALL', $key));
}


sub pairs {
    my ($list) = @_;

    return { @$list };
}

###############################################################################
