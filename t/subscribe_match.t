#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Which messages a filter gets, 4.7: every filter below is subscribed to, every
# topic published, and what arrives is compared with a matcher that was written
# down from the standard; in the worker of the publisher and in another one.

###############################################################################

use warnings;
use strict;

no warnings 'qw';

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More;

###############################################################################

my @topics = (
    qw( a A a/b a/B a/b/c a/b/c/d a/bc a/c/b a/d/c ab ab/c b b/b b/c/d/e
        x/y/z/1 x/y/z/2 x/y/zz/1 x/y/z z/z/z/z/z/z $a $a/b $a/b/c $SYS
        $SYS/a a/$a a/$SYS/b $share $share/g/a ),
    '/', '/a', '//', '///', '/a/', 'a/', 'a//', 'a//c', 'a/b/', '//c', ' ',
    ' /a', 'a b/c d', '!', "caf\xc3\xa9/b", "cafe\xcc\x81/b",
    "\xef\xbb\xbf/b", "\xf0\x9f\x98\x80", 'l/' . 'x' x 5000,
);

my @filters = (
    qw( # + +/+ +/b +/+/c +/# a a/# a/b a/+ a/+/c a/+/+ a/+/# a/b/# a/b/+
        a/b/c/# a/+/c/+ a/+/c/# +/b/c +/b/# +/+/+/+ x/+/z/+ x/+/z/# x/y/+/1
        +/+/+/1 z/+/z/+/z/+ +/+/+/+/+/+ +/+/+/+/+/# $a $a/# $a/+ $a/+/c
        $SYS $SYS/# $SYS/+ a/$SYS/# a/$a nothing/# ab/# A/# ),
    '/', '/+', '/#', '//#', '+/', '+//', '//+', '/+/', 'a//+', 'a//#',
    'a/+/', '+/a', ' ', ' /+', 'a b/+', "caf\xc3\xa9/+", "cafe\xcc\x81/b",
    "\xef\xbb\xbf/#", '+/b/#', 'l/' . 'x' x 5000, '!',
);

plan tests => 2 * @filters + 4;

my $t = MqttTest->new;

$t->write_conf(workers => 2, listen => 'reuseport');
$t->run;

my ($first, $second) = $t->worker_pids;
my $publisher = $t->client_at($first, version => 4);

for my $where ([ 'the same worker', $first ], [ 'another worker', $second ]) {
    my ($name, $pid) = @$where;
    my $s = $t->client_at($pid, version => 5);

    for my $filter (@filters) {
        my $shown = length $filter > 40 ? length($filter) . ' bytes' : $filter;

        $s->subscribe($filter => 0);
        is(join(' ', found($s)),
           join(' ', grep { matches($filter, $_) } @topics),
           "$name: filter $shown");
        $s->unsubscribe($filter);
    }

    is(join(' ', found($s)), '',
       "MQTT-3.10.4-2, $name: nothing after UNSUBACK");

    # all of them at once, one copy of each: what the tree holds is complete

    $s->subscribe(map { $_ => 0 } @filters);
    is(join(' ', found($s)),
       join(' ', grep { my $topic = $_;
                        grep { matches($_, $topic) } @filters } @topics),
       "$name: all filters at once");

    $s->disconnect;
    wait_for { $t->total('clients') == 1 };
}

###############################################################################

# the topics that arrive, before that of the end

sub found {
    my ($s) = @_;

    $s->subscribe('$end' => 0);

    $publisher->queue(PUBLISH => topic => $_, payload => "of $_") for @topics;
    $publisher->queue(PUBLISH => topic => '$end', payload => 'of $end');
    $publisher->flush;

    my @found;

    while (my $m = $s->recv_message) {
        last if $m->{topic} eq '$end';

        push @found, $m->{payload} eq "of $m->{topic}" ? $m->{topic}
                                                       : "$m->{topic}?";
    }

    $s->unsubscribe('$end');

    return @found;
}


sub matches {
    my ($filter, $topic) = @_;

    # [MQTT-4.7.2-1]

    return 0 if $topic =~ /^\$/ && $filter =~ /^[+#]/;

    my @filter = split m{/}, $filter, -1;
    my @topic = split m{/}, $topic, -1;

    while (@filter) {
        my $level = shift @filter;

        return 1 if $level eq '#';
        return 0 if !@topic;
        return 0 if $level ne '+' && $level ne $topic[0];

        shift @topic;

        # [MQTT-4.7.1-2]: the parent level, too

        return 1 if !@topic && "@filter" eq '#';
    }

    return !@topic;
}

###############################################################################
